"""What a run writes: the files of each chunk until they are moved into place, and the page of all."""
