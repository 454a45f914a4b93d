"""Whether images show the concepts that their captions ask for."""
