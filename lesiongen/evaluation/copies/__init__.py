"""Near copies of training images: how they are searched for, and what the search can see."""
