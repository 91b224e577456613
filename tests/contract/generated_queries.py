"""Random queries over a random schema: every shape for which there is a rule, and many for which there is none.

The texts are flat SQL, with few parentheses, so that a parser that binds operators otherwise than SQLite is found out.
"""

from __future__ import annotations

from random import Random

import attrs

from tests.contract.generated_schemas import LITERALS, Database, Relation

_CASTS = ["TEXT", "INTEGER", "REAL", "BLOB", "NUMERIC", "BOOLEAN", "VARCHAR(3)", "DOUBLE", "DATE", "DECIMAL(5, 2)"]
_CASTS += ["STRING", "INT8", "FLOAT"]
_BINARY = ["+", "-", "*", "/", "%", "||", "&", "|", "<<", ">>"]
_COMPARE = ["=", "==", "<>", "<", ">=", "IS", "IS NOT", "LIKE", "GLOB", "NOT LIKE", "IS DISTINCT FROM"]
_UNARY_FUNCTIONS = ["length", "lower", "upper", "abs", "typeof", "hex", "quote", "round", "trim", "json", "json_valid"]
_UNARY_FUNCTIONS += ["json_array", "date", "sum", "unicode", "likely", "json_quote"]
_BINARY_FUNCTIONS = ["ifnull", "nullif", "coalesce", "min", "max", "instr", "substr", "json_extract", "iif", "round"]
_AGGREGATES = ["count", "sum", "total", "avg", "min", "max", "group_concat", "json_group_array", "count", "max"]
_WINDOWS = ["row_number()", "rank()", "dense_rank()", "ntile(2)", "percent_rank()", "cume_dist()", "lag({0})"]
_WINDOWS += ["lead({0}, 1, {0})", "first_value({0})", "nth_value({0}, 2)", "count({0})", "sum({0})", "min({0})"]
_FRAMES = ["", "", "ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING", "ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING"]


@attrs.define
class Visible:
    """The columns that an expression may name, by alias."""

    sources: list[tuple[str, tuple[str, ...]]] = attrs.field(factory=list)
    #: Which of them have a rowid.
    rowids: set[str] = attrs.field(factory=set)
    #: Columns of USING: each may be named without a table.
    shared: list[str] = attrs.field(factory=list)


class Generator:
    """Makes queries out of one source of randomness."""

    def __init__(self, random: Random, database: Database) -> None:
        self.random = random
        self.relations = list(database.relations)
        self.named = 0
        #: The columns of the last filter, which are the ones worth selecting.
        self.filtered: list[str] = []

    def statement(self) -> str:
        kind = self.random.random()
        if kind < 0.12:
            return self.returning()
        if kind < 0.2:
            return self.keyed()
        if kind < 0.24 and any(relation.name == "f" for relation in self.relations):
            return self.matched()
        return self.star() if kind < 0.28 else self.query(3)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def name(self, prefix: str) -> str:
        self.named += 1
        return f"{prefix}{self.named}"

    # Queries

    def query(self, depth: int, columns: int = 0, outer: Visible | None = None) -> str:
        """A query of so many columns (0: any number)."""
        columns = columns or self.random.randint(1, 3)
        if depth > 1 and self.chance(0.12):
            return self.with_query(depth - 1, columns, outer)
        if depth > 1 and self.chance(0.12):
            arms = [self.select(depth - 1, columns, outer) for _ in range(2)]
            return f" {self.random.choice(['UNION', 'UNION ALL', 'INTERSECT', 'EXCEPT'])} ".join(arms)
        if self.chance(0.03):
            rows = [", ".join(self.random.choice(LITERALS) for _ in range(columns)) for _ in range(2)]
            return f"VALUES ({rows[0]}), ({rows[1]})"
        return self.select(depth, columns, outer)

    def with_query(self, depth: int, columns: int, outer: Visible | None) -> str:
        name = self.name("w")
        names = tuple(f"{letter}" for letter in "abcd"[: self.random.randint(1, 3)])
        if self.chance(0.4):
            step = Visible([(name, names)])
            body = self.select(depth, len(names), None)
            again = ", ".join(self.expression(1, step) for _ in names)
            where = f" WHERE {self.condition(1, step)}" if self.chance(0.6) else ""
            kind = self.random.choice(["UNION", "UNION ALL"])
            body = f"{body} {kind} SELECT {again} FROM {name}{where} LIMIT 9"
        else:
            body = self.query(depth, len(names))
        before = len(self.relations)
        self.relations.append(Relation(name, names, is_table=False))
        self.relations.append(Relation(name, names, is_table=False))
        rest = self.select(depth, columns, outer)
        del self.relations[before:]
        return f"WITH RECURSIVE {name} ({', '.join(names)}) AS ({body}) {rest}"

    def select(self, depth: int, columns: int, outer: Visible | None = None) -> str:
        visible = Visible()
        sources = "" if self.chance(0.04) else self.sources(depth, visible)
        inner = Visible([*visible.sources], set(visible.rowids), list(visible.shared))
        if outer is not None and self.chance(0.5):
            inner.sources += [source for source in outer.sources if source[0] not in {n for n, _ in visible.sources}]
        self.filtered.clear()
        where = f" WHERE {self.condition(2, inner)}" if sources and self.chance(0.6) else ""
        filtered = list(self.filtered)
        tail = ""
        kind = self.random.choice(["plain"] * 5 + ["aggregate"] * 2 + ["group", "group", "window"])
        if kind == "aggregate":
            items = [self.aggregate(inner) if self.chance(0.6) else self.expression(1, inner) for _ in range(columns)]
            tail += f" HAVING {self.aggregate(inner)}" if self.chance(0.15) else ""
            if columns > 1 and self.chance(0.15):
                items[0] = f"{items[1]} IN ({self.select(1, 1)})"
        elif kind == "group":
            keys = [self.column(inner) for _ in range(self.random.randint(1, 2))]
            items = [
                self.random.choice(keys) if self.chance(0.3) else self.aggregate(inner, depth=1) for _ in range(columns)
            ]
            tail += f" GROUP BY {', '.join(keys)}"
            tail += f" HAVING {self.aggregate(inner)} > 0" if self.chance(0.2) else ""
        elif kind == "window":
            items = [self.window(inner) if self.chance(0.6) else self.column(inner) for _ in range(columns)]
        else:
            items = [
                self.random.choice(filtered) if filtered and self.chance(0.3) else self.expression(depth, inner)
                for _ in range(columns)
            ]
        if self.chance(0.12):
            tail += f" ORDER BY {self.random.randint(1, columns)}"
        if self.chance(0.1):
            tail += f" LIMIT {self.random.choice(['0', '1', '3', '1 OFFSET 1'])}"
        distinct = "DISTINCT " if self.chance(0.1) else ""
        listed = ", ".join(f"{item} AS {'abcd'[place % 4]}{place // 4 or ''}" for place, item in enumerate(items))
        return f"SELECT {distinct}{listed}{sources}{where}{tail}"

    def keyed(self) -> str:
        """A look-up by equality, perhaps of a whole key: one row, or several."""
        visible = Visible()
        sources, filters = self.keyed_sources(visible)
        picked = [f"{alias}.{self.random.choice(names)}" for alias, names in visible.sources]
        group = ""
        if self.chance(0.3):
            picked = self.random.sample(picked, self.random.randint(1, len(picked)))
            group = f" GROUP BY {', '.join(picked)}"
        return f"SELECT {', '.join(picked)}{sources}{filters}{group}"

    def matched(self) -> str:
        """A full-text search, perhaps outer-joined to others."""
        visible = Visible([("f", ("a", "b"))], {"f"})
        ranked = f"CAST(-bm25(f, {self.random.choice(['1.0', '0', '2.5, 1.0', ':p'])}) AS REAL)"
        sources = " FROM f" + (self.join(1, visible) if self.chance(0.5) else "")
        query = self.random.choice(["'a'", "'1'", "'a*'", "'a OR b'", "'1 NOT y'", ":p", "'a NOT b'"])
        listed = [self.random.choice([ranked, "f.rowid", "f.a", "rank", self.column(visible)]) for _ in range(3)]
        return f"SELECT {', '.join(listed)}{sources} WHERE f MATCH {query}"

    def ordered(self) -> tuple[str, str]:
        """A query with ORDER BY, and one that gives each row's rank in that order."""
        visible = Visible()
        sources, filters = self.keyed_sources(visible)
        filters = filters if self.chance(0.5) else ""
        columns = [f"{alias}.{name}" for alias, names in visible.sources for name in names]
        columns += [f"{alias}.rowid" for alias in visible.rowids]
        terms = self.random.sample(columns, min(len(columns), self.random.randint(1, 4)))
        listed = ", ".join(columns)
        group = ""
        if self.chance(0.25):
            keys = self.random.sample(columns, min(len(columns), 2))
            listed, group = f"{', '.join(keys)}, count(*)", f" GROUP BY {', '.join(keys)}"
        order = [f"{term}{self.random.choice(['', '', ' DESC', ' COLLATE NOCASE'])}" for term in terms]
        tail = f"{sources}{filters}{group}"
        by = f"ORDER BY {', '.join(order)}"
        return f"SELECT {listed}{tail} {by}", f"SELECT rank() OVER ({by}){tail}"

    def keyed_sources(self, visible: Visible) -> tuple[str, str]:
        text = f" FROM {self.source(self.random.choice([1, 1, 2]), visible)}"
        for _ in range(self.random.choice([0, 0, 1, 1, 2])):
            kind = self.random.choice(["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", ","])
            before = Visible(list(visible.sources))
            right = self.source(1, visible)
            alias, names = visible.sources[-1]
            pairs = [
                f"{alias}.{name} = {self.column(before) if self.chance(0.6) else self.random.choice(['1', '0'])}"
                for name in self.random.sample(names, min(2, len(names)))
            ]
            pairs.append(f"{self.column(before)} {self.random.choice(['= 1', 'IS NOT NULL', '> 0'])}")
            self.random.shuffle(pairs)
            if kind == ",":
                text += f", {right}"
            else:
                text += f" {kind} {right} ON {' AND '.join(pairs[: self.random.randint(1, 3)])}"
        terms = []
        for alias, names in visible.sources[: self.random.choice([1, 1, 2])]:
            for name in self.random.sample(names, self.random.randint(1, min(3, len(names)))):
                value = self.random.choice(["1", "'1'", "'a'", "'A'", "0", ":p", "1.0", "'1' COLLATE NOCASE"])
                value = self.random.choice(LITERALS) if self.chance(0.2) else value
                operator = self.random.choice(["=", "=", "=", "=", "IS", "IN", "IS NOT NULL"])
                right_ = {"IN": f"IN ({value})", "IS NOT NULL": operator}.get(operator, f"{operator} {value}")
                terms.append(f"{alias}.{name} {right_}")
        if self.chance(0.2):
            alias, names = visible.sources[0]
            predicate = self.random.choice(["IN (0, 1)", "> 'a'", "= 1"])
            terms.append(f"{alias}.{self.random.choice(names)} {predicate}")
        return text, f" WHERE {' AND '.join(terms)}"

    def star(self) -> str:
        """A ``*`` over joins, with USING and NATURAL: how many columns there are is the engine's to say."""
        visible = Visible()
        return f"SELECT {self.random.choice(['*', '*', 'x1.*'])}{self.sources(2, visible)}"

    def sources(self, depth: int, visible: Visible) -> str:
        text = f" FROM {self.source(depth, visible)}"
        for _ in range(self.random.choice([0, 0, 1, 1, 2])):
            text += self.join(depth, visible)
        return text

    def join(self, depth: int, visible: Visible) -> str:
        before = [column for _, columns in visible.sources for column in columns]
        kind = self.random.choice(["JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", ",", "CROSS JOIN"])
        right = self.source(depth, visible)
        if self.chance(0.06) and not right.startswith("("):
            inner = Visible()
            other = self.source(1, inner)
            both = Visible([visible.sources[-1], *inner.sources])
            right = f"({right} {self.random.choice(['JOIN', 'LEFT JOIN'])} {other} ON {self.condition(1, both)})"
            visible.sources += inner.sources
            visible.rowids |= inner.rowids
        shared = [column for column in visible.sources[-1][1] if before.count(column) == 1]
        if kind in {",", "CROSS JOIN"}:
            return f"{'' if kind == ',' else ' '}{kind} {right}"
        if self.chance(0.06):
            return f" NATURAL {kind} {right}"
        if shared and self.chance(0.15):
            visible.shared.append(self.random.choice(shared))
            return f" {kind} {right} USING ({visible.shared[-1]})"
        return f" {kind} {right} ON {self.condition(1, visible)}"

    def source(self, depth: int, visible: Visible) -> str:
        alias = self.name("x")
        if depth > 1 and self.chance(0.2):
            columns = self.random.randint(1, 3)
            visible.sources.append((alias, tuple("abcd"[:columns])))
            return f"({self.query(depth - 1, columns)}) AS {alias}"
        if self.chance(0.08):
            visible.sources.append((alias, ("key", "value", "type", "atom", "id", "parent", "fullkey", "path")))
            json = self.random.choice(["'[1, null, {\"a\": [2]}]'", '\'{"a": 1, "b": null}\'', "'3'", "NULL", "'[]'"])
            return f"{self.random.choice(['json_each', 'json_tree'])}({json}) AS {alias}"
        relation = self.random.choice(self.relations)
        visible.sources.append((alias, relation.columns))
        if relation.has_rowid:
            visible.rowids.add(alias)
        return f"{relation.name} AS {alias}"

    # Expressions

    def column(self, visible: Visible) -> str:
        if not visible.sources:
            return self.random.choice(LITERALS)
        if visible.shared and self.chance(0.25):
            return self.random.choice(visible.shared)
        alias, columns = self.random.choice(visible.sources)
        if alias in visible.rowids and self.chance(0.07):
            return f"{alias}.rowid"
        name = self.random.choice(columns)
        alone = sum(name in other for _, other in visible.sources) == 1
        return name if self.chance(0.6 if alone else 0.1) else f"{alias}.{name}"

    def expression(self, depth: int, visible: Visible) -> str:
        random = self.random
        if depth <= 0 or self.chance(0.3):
            return self.column(visible) if self.chance(0.8) else random.choice([*LITERALS, ":p", "TRUE"])
        deeper = lambda: self.expression(depth - 1, visible)  # noqa: E731
        kind = random.randint(0, 15)
        if kind <= 1:
            return f"{deeper()} {random.choice(_BINARY)} {deeper()}"
        if kind == 2:
            text = f"{deeper()} {random.choice(_COMPARE)} {deeper()}"
            return text if self.chance(0.3) else f"({text})"
        if kind == 3:
            return f"{random.choice(['-', '+', '~', 'NOT '])}{deeper()}"
        if kind == 4:
            return f"CAST({deeper()} AS {random.choice(_CASTS)})"
        if kind == 5:
            return self.case(depth, visible)
        if kind in {6, 7}:
            return f"{random.choice(_UNARY_FUNCTIONS)}({deeper()})"
        if kind in {8, 9}:
            name = random.choice(_BINARY_FUNCTIONS)
            third = f", {deeper()}" if name == "iif" or self.chance(0.1) else ""
            return f"{name}({deeper()}, {deeper()}{third})"
        if kind == 10:
            return self.truth(depth, visible)
        if kind == 11:
            return self.subquery(depth, visible)
        if kind == 12:
            return f"({deeper()})"
        if kind == 13:
            return f"json_object('a', {deeper()})"
        if kind == 14:
            return f"{deeper()} COLLATE NOCASE"
        return self.column(visible)

    def case(self, depth: int, visible: Visible) -> str:
        test = self.expression(0, visible) if self.chance(0.3) else ""
        when = self.expression(0, visible) if test else self.condition(1, visible)
        other = f" ELSE {self.expression(depth - 1, visible)}" if self.chance(0.6) else ""
        return f"CASE {test} WHEN {when} THEN {self.expression(depth - 1, visible)}{other} END"

    def truth(self, depth: int, visible: Visible) -> str:
        left, query = self.expression(depth - 1, visible), self.select(1, 1, visible)
        low, high = self.expression(0, visible), self.expression(0, visible)
        pair = f"({left}, {low}) {self.random.choice(['=', '<', '>=', '<>', 'IS'])} ({high}, {low})"
        return self.random.choice(
            [
                f"{self.random.choice(['', 'NOT '])}EXISTS ({query})",
                f"{left} IN ({query})",
                f"{left} NOT IN ({query})",
                f"{left} {self.random.choice(['', 'NOT '])}IN ({low}, {high})",
                f"{left} {self.random.choice(['', 'NOT '])}BETWEEN {low} AND {high}",
                f"{left} IS NULL",
                f"{left} IS NOT NULL",
                f"{left} NOTNULL",
                f"({left} AND {low})",
                f"({left} OR {low})",
                pair,
            ]
        )

    def condition(self, depth: int, visible: Visible) -> str:
        """A filter, often one that keeps NULL out."""
        column, other = self.column(visible), self.column(visible)
        self.filtered += [column, other]
        simple = [
            f"{column} = {other}",
            f"{column} IS NOT NULL",
            f"NOT {column} IS NULL",
            f"{column} > {self.random.choice(LITERALS)}",
            f"{column} IN ({other}, 1, 'a')",
            f"{column} BETWEEN {other} AND {self.column(visible)}",
            f"{column} LIKE '%'",
            f"({column}, {other}) {self.random.choice(['=', '<', '<>'])} ({self.column(visible)}, 1)",
            f"{column} <> :p",
            f"({column}, {other}) < (x'', 1)",
            f"({column}, {other}) >= (0, 'a')",
            f"{column} IS NULL",
            f"NOT ({column} = 1 AND {other} = 1)",
            f"NOT {column} IN ({self.select(1, 1, visible) if depth > 1 else 1})",
            f"length({column}) >= 0",
            column,
            "1",
        ]
        if depth > 0 and self.chance(0.4):
            sides = [self.condition(depth - 1, visible), self.condition(depth - 1, visible)]
            return f"{self.random.choice([' AND ', ' AND ', ' OR ']).join(sides)}"
        return self.expression(depth, visible) if self.chance(0.15) else self.random.choice(simple)

    def subquery(self, depth: int, visible: Visible) -> str:
        return f"({self.query(min(depth, 2), 1, visible)})"

    def aggregate(self, visible: Visible, depth: int = 0) -> str:
        argument = self.expression(depth, visible) if self.chance(0.3) else self.column(visible)
        name = self.random.choice(_AGGREGATES)
        call = "count(*)" if name == "count" and self.chance(0.5) else f"{name}({argument})"
        if call != "count(*)" and self.chance(0.1):
            call = f"{name}(DISTINCT {argument})"
        if self.chance(0.15):
            call += f" FILTER (WHERE {self.condition(0, visible)})"
        return self.random.choice([call] * 5 + [f"coalesce({call}, 0)", f"{call} + 1", f"CAST({call} AS REAL)"])

    def window(self, visible: Visible) -> str:
        partition = f"PARTITION BY {self.column(visible)} " if self.chance(0.5) else ""
        order = f"ORDER BY {self.column(visible)} "
        call = self.random.choice(_WINDOWS).format(self.column(visible))
        return f"{call} OVER ({partition}{order}{self.random.choice(_FRAMES)})"

    # RETURNING

    def returning(self) -> str:
        table = self.random.choice([relation for relation in self.relations if relation.name.startswith("t")])
        columns = [column for column in table.columns if column != "g"]
        other = self.random.choice([relation for relation in self.relations if relation.columns])
        joined = f"{other.name} AS o WHERE o.{other.columns[0]} = {table.name}.{columns[0]}"
        visible = Visible([(table.name, table.columns)], {table.name} if table.has_rowid else set())
        self.filtered.clear()
        where = self.condition(1, visible)
        filtered = [name.rpartition(".")[2] for name in self.filtered] or columns
        listed = ", ".join(
            f"{self.random.choice(filtered) if self.chance(0.3) else self.expression(1, visible)} AS r{place}"
            for place in range(self.random.randint(1, 4))
        )
        if self.chance(0.15):
            column = self.random.choice(columns)
            listed = f"{column} IN (SELECT {self.random.choice(LITERALS)}) AS q0, {column} AS q1, {listed}"
        conflict = self.random.choice(["", "", "OR IGNORE ", "OR REPLACE "])
        changed = [name for name in filtered if name in columns] if self.chance(0.5) else []
        value = "NULL" if self.chance(0.3) else self.expression(1, visible)
        sets = f"{self.random.choice(changed or columns)} = {value}"
        values = ", ".join(self.random.choice([*LITERALS, ":p"]) for _ in columns)
        into = f"{table.name} ({', '.join(columns)})"
        upsert = f" ON CONFLICT DO {self.random.choice(['NOTHING', f'UPDATE SET {sets}'])}" if self.chance(0.3) else ""
        return self.random.choice(
            [
                f"INSERT {conflict}INTO {into} VALUES ({values}) RETURNING {listed}",
                f"INSERT INTO {into} VALUES ({values}){upsert} RETURNING {listed}",
                f"INSERT {conflict}INTO {into} {self.select(1, len(columns))} RETURNING {listed}",
                f"UPDATE {conflict}{table.name} SET {sets} WHERE {where} RETURNING {listed}",
                f"UPDATE {table.name} SET {sets} FROM {joined} RETURNING {listed}",
                f"DELETE FROM {table.name} WHERE {where} RETURNING {listed}",
            ]
        )
