"""The classes of the result: class files and the order of the list."""
