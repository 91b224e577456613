def parameter_expectations(schema, sql): return {}
