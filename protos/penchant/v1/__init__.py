"""Messages and stubs of the API, generated from the .proto files beside them by generate.py; never edited."""
