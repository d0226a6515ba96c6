"""Other forms of the layers, made of operators that runtimes support well."""
