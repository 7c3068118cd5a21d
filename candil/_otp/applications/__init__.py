"""Applications: opening a tree in a trio program, and running one as the program."""
