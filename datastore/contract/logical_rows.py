def at_most_one_row(schema, sql): return True, ""
def total_order(schema, sql): return True, ""
