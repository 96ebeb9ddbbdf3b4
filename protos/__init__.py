"""The wire: what an engine and its workers say to each other. Generated modules are never edited by hand."""
