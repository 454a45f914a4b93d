"""What foreign files may hold at most, so that one of them can neither fill the memory nor run for ever.

Each limit is many times what a collection of photographs holds. An error names the limit, what it allows and
what was found; docs/reference/limits.md lists them all.
"""

# One image
MAX_FILE_BYTES = 384 << 20
"""Bytes of an image file; 100 million pixels without compression are 300 million bytes."""
MAX_PIXELS = 100_000_000
"""Width times height; a telephone's largest photographs have half of that. Decoding takes up to 9 bytes for each."""
MAX_SIDE = 40_000
"""Pixels of a side."""
MAX_ASPECT = 50
"""How many times the shorter side the longer one may be."""
MAX_SCANS = 50
"""Scans of a progressive JPEG, each of which is a pass over all pixels; encoders write about ten."""
MAX_EXIF_SEGMENTS = 100
"""EXIF segments of a JPEG, those of the views behind it included."""
MAX_JPEG_MARKERS = 200_000
"""Markers in a JPEG file, restarts not counted."""
MAX_PNG_CHUNKS = 200_000
"""Chunks of a PNG."""
MAX_GIF_BLOCKS = 1_000_000
"""Blocks of a GIF, of up to 255 bytes each."""
MAX_TIFF_VALUES = 200_000
"""Numbers in one tag of a TIFF; strips and tiles have one each."""

# All images
MAX_BYTES_AHEAD = 512 << 20
"""Bytes of image files that processes have been given and that are not yet cleaned, on however many cores."""

# One archive
MAX_MEMBERS = 500_000
"""Members; the largest public collection has 400,000 images."""
MAX_ZIP_DIRECTORY_BYTES = 256 << 20
"""Bytes of a zip archive's directory, which has about 150 for each member."""
MAX_NAME_CHARACTERS = 1_000
"""Characters of a member's name, its folders included."""
MAX_FOLDERS = 30
"""Folders within one another."""
MAX_TAR_HEADER_BYTES = 64 << 10
"""Bytes of a tar member's extended header; a long name takes a few hundred."""
MAX_TAR_HEADERS = 8
"""Extended headers in a row before one member."""
MAX_EXPANSION = 100
"""How many times its own size an archive may unpack to; photographs hardly shrink, tables to a tenth."""
UNQUESTIONED_BYTES = 256 << 20
"""Bytes that an archive may unpack to whatever its size."""
MAX_ARCHIVES = 200
"""Archives within a source that are held open."""

# One table
MAX_TABLE_BYTES = 1 << 30
"""Bytes of a table, a Parquet file's as it unpacks; one of 400,000 images and 50 columns has 250 million."""
MAX_ROWS = 1_000_000
"""Rows of a table."""
MAX_COLUMNS = 16_384
"""Columns of a table, which is Excel's own limit."""
MAX_LINE = 8 << 20
"""Characters of a line of CSV or JSON."""
MAX_CELL_CHARACTERS = 131_072
"""Characters of a cell, which is what Python's reader of CSV allows."""
MAX_WORKBOOK_BYTES = 256 << 20
"""Bytes that an Excel workbook unpacks to."""
MAX_WORKBOOK_ROWS = 1_048_576
"""Number of the last row of an Excel sheet, which is Excel's own limit."""

# One row
MAX_LABEL_CHARACTERS = 1_000
"""Characters of a diagnosis, of an id or of another short value."""
MAX_TEXT_CHARACTERS = 10_000
"""Characters of a caption, of an attribution or of a licence."""
MAX_REPORT_CHARACTERS = 100_000
"""Characters of a ``concepts`` cell."""

# One dataset
MAX_PAIRS_BYTES = 64 << 20
"""Bytes of ``near_duplicates.json``, which has about 80 for each pair."""

# One model
MAX_TIMESTEPS = 100_000
"""Timesteps of a noise schedule; models are trained with a thousand."""

# One configuration
MAX_YAML_VALUES = 100_000
"""Values of a configuration, a plan, a checks file or a gates file, those behind an alias counted each time."""
