"""One servicer per service of penchant.v1: checks a request, asks the engine or the store, fills the answer."""
