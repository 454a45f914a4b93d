"""Tables as spreadsheets and people leave them: names in another case, lines above the header, several sheets."""

import re
import zipfile

import pytest

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError
from lesiongen.ingestion import IngestConfig, ingest

from . import miniatures
from .cases import CASES, rows_of
from .conftest import picture

NO_IDS = ["No lesion_id and no patient_id: photographs of one patient may be in train and test"]
NAMES = [f"{number}.png" for number in range(8)]


def respelled(path, spell):
    """Writes a table anew with other names for its columns."""
    rows = rows_of(path)
    miniatures.write_csv(
        path, [spell(name) for name in rows[0]], [{spell(k): v for k, v in row.items()} for row in rows]
    )


def dataset(source, output, **config):
    result = ingest(IngestConfig(**config), str(source), str(output))
    return result, list(Dataset.open(str(output)).samples())


def table(header, *, separator=",", rows=NAMES):
    lines = [separator.join((name, "nevus" if n % 2 else "melanoma", f"L{n // 2}")) for n, name in enumerate(rows)]
    return "\n".join([header, *lines]) + "\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.format)
@pytest.mark.parametrize("spell", [str.upper, lambda name: name.replace("_", " ").title()], ids=["upper", "title"])
def test_names_of_columns_differ_in_case_and_signs(case, spell, tmp_path):
    plain, other = case.build(tmp_path / "plain"), case.build(tmp_path / "other")
    respelled(other / case.table, spell)
    _, expected = dataset(plain, tmp_path / "a", format=case.format)
    _, found = dataset(other, tmp_path / "b", format=case.format)
    assert found == expected


def test_lesions_are_kept_together_whatever_the_case_of_their_column(make_folder, tmp_path):
    source = make_folder(table("File Name,Diagnosis,Lesion_ID"), NAMES)
    result, samples = dataset(source, tmp_path / "out", format="image_folder")
    assert {sample.lesion_id for sample in samples} == {"L0", "L1", "L2", "L3"}
    splits = {(sample.lesion_id, sample.split) for sample in samples}
    assert len(splits) == 4
    assert result.notes == []


def test_two_columns_of_one_name_are_an_error(make_folder, tmp_path):
    source = make_folder("file_name,diagnosis,lesion_id,Lesion-ID\n0.png,nevus,L1,L2\n", NAMES[:1])
    with pytest.raises(DataError, match="two columns for 'lesion_id': 'lesion_id' and 'Lesion-ID'"):
        ingest(IngestConfig(format="image_folder"), str(source), str(tmp_path / "out"))
    columns = {"lesion_id": "Lesion-ID"}
    _, samples = dataset(source, tmp_path / "named", format="image_folder", columns=columns)
    assert samples[0].lesion_id == "L2"


def test_columns_that_are_not_read_are_listed_once(make_folder, tmp_path):
    text = "file_name,diagnosis,lesion number,dx,split\n0.png,nevus,L1,nv,train\n1.png,nevus,L1,nv,train\n"
    source = make_folder(text, NAMES[:2])
    result, _ = dataset(source, tmp_path / "out", format="image_folder")
    looks = "Column 'lesion number' looks like lesion_id: --column 'lesion_id=lesion number'"
    split = "metadata.csv: the column with a split is not read: --keep-official-split keeps it"
    assert result.notes == ["metadata.csv: columns that are not read: lesion number, dx, split", looks, split, *NO_IDS]
    result, _ = dataset(source, tmp_path / "kept", format="image_folder", keep_official_split=True)
    assert result.notes == ["metadata.csv: columns that are not read: lesion number, dx", looks, *NO_IDS]


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\n" + table("file_name;diagnosis;lesion_id", separator=";"),
        '\ufeff"SEP=\t"\r\n' + table("file_name\tdiagnosis\tlesion_id", separator="\t"),
        "\n\n" + table("file_name,diagnosis,lesion_id"),
        ",,\n , ,\n" + table("file_name,diagnosis,lesion_id"),
    ],
    ids=["sep", "sep-tab", "blank", "commas"],
)
def test_what_spreadsheets_put_above_the_header_is_passed_over(text, make_folder, tmp_path):
    _, samples = dataset(make_folder(text, NAMES), tmp_path / "out", format="image_folder")
    assert {sample.image_id: sample.lesion_id for sample in samples} == {str(n): f"L{n // 2}" for n in range(8)}


def test_rows_are_counted_from_the_first_line_of_the_file(make_folder, tmp_path):
    text = "sep=;\n\nfile_name;diagnosis\n0.png;moon rash\n"
    with pytest.raises(DataError, match="row 4, diagnosis = 'moon rash'"):
        ingest(IngestConfig(format="image_folder"), str(make_folder(text, NAMES[:1])), str(tmp_path / "out"))


def test_a_title_above_the_header_is_named(make_folder, tmp_path):
    source = make_folder("Export of 12 March,,\n" + table("File_Name,diagnosis,lesion_id"), NAMES)
    message = "header was not found in the first line, which reads 'Export of 12 March'"
    with pytest.raises(DataError, match=message) as caught:
        ingest(IngestConfig(format="image_folder"), str(source), str(tmp_path / "out"))
    assert "Row 2 holds the columns file_name" in str(caught.value)


def workbook(folder, **sheets):
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    folder.mkdir(parents=True)
    book.save(folder / "labels.xlsx")
    picture(1).save(folder / "0.png")
    picture(2).save(folder / "1.png")
    return folder


def test_the_sheet_that_is_read_is_named_and_can_be_chosen(tmp_path):
    rows = [("File Name", "Diagnosis"), ("0.png", "nevus"), ("1.png", "melanoma")]
    source = workbook(tmp_path / "in", Labels=rows, Notes=[("who", "when")])
    result, samples = dataset(source, tmp_path / "out", format="image_folder", options={"table": "labels.xlsx"})
    assert len(samples) == 2
    first = "labels.xlsx: read the first sheet, 'Labels'; not read: Notes (--option sheet=Notes reads it)"
    assert result.notes == [first, *NO_IDS]
    chosen = {"table": "labels.xlsx", "sheet": "Labels"}
    result, _ = dataset(source, tmp_path / "chosen", format="image_folder", options=chosen)
    assert result.notes == NO_IDS


def hidden(path, title, state):
    import openpyxl

    book = openpyxl.load_workbook(path)
    book[title].sheet_state = state
    book.active = next(at for at, sheet in enumerate(book.worksheets) if sheet.title != title)
    book.save(path)


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_the_first_visible_sheet_is_read_and_a_hidden_one_when_it_is_asked_for(tmp_path, state):
    head = ("file_name", "diagnosis")
    draft, labels = [[head, ("0.png", name), ("1.png", name)] for name in ("melanoma", "nevus")]
    source = workbook(tmp_path / "in", Draft=draft, Labels=labels)
    hidden(source / "labels.xlsx", "Draft", state)
    chosen = {"table": "labels.xlsx"}
    result, samples = dataset(source, tmp_path / "out", format="image_folder", options=chosen)
    first = "labels.xlsx: read the first visible sheet, 'Labels'; not read: Draft (hidden)"
    assert result.notes == [f"{first} (--option sheet=Draft reads it)", *NO_IDS]
    assert {sample.diagnosis for sample in samples} == {"nv"}
    _, samples = dataset(source, tmp_path / "p", format="image_folder", options=chosen | {"sheet": "Draft"})
    assert {sample.diagnosis for sample in samples} == {"mel"}


def test_a_workbook_of_charts_alone_says_so(tmp_path):
    import openpyxl

    source = workbook(tmp_path / "in", Labels=[("file_name", "diagnosis")])
    book = openpyxl.Workbook()
    book.create_chartsheet("Chart").add_chart(openpyxl.chart.BarChart())
    del book["Sheet"]
    book.save(source / "labels.xlsx")
    with pytest.raises(DataError, match=r"labels\.xlsx has no sheet with cells, only charts"):
        dataset(source, tmp_path / "out", format="image_folder", options={"table": "labels.xlsx"})


def test_a_table_on_another_sheet_is_hinted_at(tmp_path):
    rows = [("file_name", "diagnosis"), ("0.png", "nevus"), ("1.png", "melanoma")]
    source = workbook(tmp_path / "in", Notes=[("who", "when")], Labels=rows)
    with pytest.raises(DataError, match="no column 'file_name'") as caught:
        ingest(IngestConfig(format="image_folder", options={"table": "labels.xlsx"}), str(source), str(tmp_path / "o"))
    assert "'Notes'; not read: Labels (--option sheet=Labels reads it)" in str(caught.value)
    chosen = {"table": "labels.xlsx", "sheet": "Labels"}
    assert len(dataset(source, tmp_path / "out", format="image_folder", options=chosen)[1]) == 2
    with pytest.raises(DataError, match="no sheet 'Label'"):
        dataset(source, tmp_path / "p", format="image_folder", options={"table": "labels.xlsx", "sheet": "Label"})


def test_a_sheet_is_asked_for_of_excel_files_only(make_folder, tmp_path):
    source = make_folder(table("file_name,diagnosis,lesion_id"), NAMES)
    with pytest.raises(DataError, match="is not an Excel file: --option sheet has no effect"):
        dataset(source, tmp_path / "out", format="image_folder", options={"sheet": "Labels"})


@pytest.mark.parametrize("split", ["", "train/"])
def test_folders_named_benign_and_malignant_are_two_classes(split, make_folder, tmp_path):
    names = [f"{split}{label}/{number}.png" for number in range(4) for label in ("benign", "malignant")]
    source = make_folder("", names)
    (source / "metadata.csv").unlink()
    _, samples = dataset(source, tmp_path / "out", format="image_folder")
    assert sorted(sample.diagnosis for sample in samples) == ["benign"] * 4 + ["malignant"] * 4


def message_of(source, output, **config):
    with pytest.raises(DataError) as caught:
        ingest(IngestConfig(format="image_folder", **config), str(source), str(output))
    return str(caught.value)


def test_images_named_by_address_are_found_by_its_last_part(make_folder, tmp_path):
    names = [f"images/ISIC 000{number}.png" for number in range(4)]
    rows = "".join(f"https://isic.example/v2/ISIC%20000{number}.png?size=full,nevus\n" for number in range(4))
    _, samples = dataset(make_folder("file_name,diagnosis\n" + rows, names), tmp_path / "out", format="image_folder")
    assert len(samples) == 4


def test_the_options_that_find_the_images_are_named(make_folder, tmp_path):
    text = "file_name,photo,diagnosis\nfirst,a/0.png,nevus\n"
    source = make_folder(text, ["in/0.png"])
    assert "column photo names in/0.png: add --column file_name=photo --option match=name" in message_of(
        source, tmp_path / "a"
    )
    (source / "metadata.csv").write_text("file_name,diagnosis\n0,nevus\n")
    assert "in/0.png is there: add --option match=stem" in message_of(source, tmp_path / "b")


@pytest.mark.parametrize(("cell", "name"), [("123", "000123.png"), ("123.png", "000123.png")])
def test_zeros_that_excel_removed_are_hinted_at_once(cell, name, make_folder, tmp_path):
    source = make_folder(f"file_name,diagnosis\n{cell},nevus\n77,nevus\n", [name])
    message = message_of(source, tmp_path / "out", options={"match": "name"})
    assert message.count("'123' may be 000123.png: Excel removes zeros before a number.") == 1


def test_numbers_that_excel_shortened_are_hinted_at_once(make_folder, tmp_path):
    source = make_folder("file_name,diagnosis\n1.2E+05,nevus\n1.3E+05,nevus\n", ["120000.png"])
    message = message_of(source, tmp_path / "out")
    assert message.count("'1.2E+05' is a long number as Excel shortens it.") == 1


FORMULAS = [
    ("file_name", "dx", "Lesion ID", "age next year"),
    ("0.png", "nv", '="L"&1', "=1+1"),
    ("1.png", "mel", "L2"),
]


def test_a_formula_without_its_value_is_not_taken_for_a_blank(tmp_path):
    source = workbook(tmp_path / "in", Labels=FORMULAS)
    with pytest.raises(DataError, match="column 'Lesion ID', row 2: a formula without a stored value"):
        dataset(source, tmp_path / "out", format="image_folder", options={"table": "labels.xlsx"})


def test_a_formula_in_a_column_that_is_not_read_and_one_with_a_blank_result_are_no_fault(tmp_path):
    source = workbook(tmp_path / "in", Labels=FORMULAS)
    stored(source / "labels.xlsx", rb'<c r="C2"', rb'<c r="C2" t="str"')  # as Excel stores a result without characters
    _, samples = dataset(source, tmp_path / "out", format="image_folder", options={"table": "labels.xlsx"})
    assert [sample.lesion_id for sample in sorted(samples, key=lambda sample: sample.image_id)] == [None, "L2"]


def test_a_formula_with_its_value_is_read(tmp_path):
    source = workbook(tmp_path / "in", Labels=FORMULAS)
    stored(source / "labels.xlsx", rb'(<f>"L"&amp;1</f>)<v(?: ?/>|></v>)', rb"\1<v>17</v>")  # with and without lxml
    _, samples = dataset(source, tmp_path / "out", format="image_folder", options={"table": "labels.xlsx"})
    assert {sample.lesion_id for sample in samples} == {"17", "L2"}


def stored(path, old, new):
    """Changes the one place of a workbook's only sheet that matches a pattern."""
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    parts[sheet], changed = re.subn(old, new, parts[sheet])
    assert changed == 1
    with zipfile.ZipFile(path, "w") as book:
        for name, data in parts.items():
            book.writestr(name, data)


def test_a_refused_value_is_in_the_column_that_the_table_has(make_folder, tmp_path):
    source = make_folder('File Name,Diagnosis,AGE\n0.png,nevus,"45,0"\n', NAMES[:1])
    with pytest.raises(DataError, match="AGE = '45,0': has a decimal comma: write 45.0"):
        dataset(source, tmp_path / "out", format="image_folder")


def test_semicolons_have_two_ways_out(make_folder, tmp_path):
    source = make_folder(table("file_name;diagnosis;lesion_id", separator=";"), NAMES)
    with pytest.raises(DataError, match="write the line sep=; above its header"):
        dataset(source, tmp_path / "out", format="image_folder")


def test_two_columns_of_one_name_in_the_rows_are_data(make_folder, tmp_path):
    source = make_folder("file_name,diagnosis,lesion_id\n0.png,nevus,L1\nfile_name,File Name,L\n", NAMES[:1])
    with pytest.raises(DataError, match="row 3, file_name = 'file_name': image not found"):
        dataset(source, tmp_path / "out", format="image_folder")


@pytest.mark.parametrize(
    ("column", "canonical"), [("Patient", "patient_id"), ("SubjectID", "patient_id"), ("Lesion No.", "lesion_id")]
)
def test_a_column_that_looks_like_an_id_is_named(column, canonical, make_folder, tmp_path):
    source = make_folder(f"file_name,diagnosis,{column},patient history\n0.png,nevus,1,x\n1.png,nevus,2,y\n", NAMES[:2])
    result, _ = dataset(source, tmp_path / "out", format="image_folder")
    looks = [note for note in result.notes if "looks like" in note]
    assert len(looks) == 1
    assert looks[0].startswith(f"Column {column!r} looks like {canonical}: --column ")
    result, _ = dataset(source, tmp_path / "named", format="image_folder", columns={canonical: column})
    assert result.notes == ["metadata.csv: columns that are not read: patient history"]


def test_benign_beside_exact_diagnoses_and_copies_are_noted(make_folder, tmp_path):
    text = "file_name,diagnosis,lesion_id\n0.png,nevus,1\n1.png,benign,2\n2.png,melanoma,3\n3.png,nevus,4\n"
    source = make_folder(text, NAMES[:4])
    (source / "3.png").write_bytes((source / "0.png").read_bytes())
    result, _ = dataset(source, tmp_path / "out", format="image_folder")
    assert result.notes == [
        "Class benign beside exact diagnoses (mel, nv): images of one disease may be in two classes",
        "1 image has the content of another: 3 of 0",
    ]
