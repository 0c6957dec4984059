"""Runs IEC 61131-3 structured text: a small machine over the parse tree of blark, for the gate blocks of a PLC kit.

Subset: STRUCT types; PROGRAM and FUNCTION_BLOCK with VAR, VAR CONSTANT, VAR_INPUT, VAR_OUTPUT, VAR_IN_OUT; assignment, IF, calls of function
blocks; + - * / and comparisons, AND OR XOR NOT; LIMIT ABS; TON. Whatever else is met is refused by name, so that nothing is
silently skipped. MAX and MIN are refused too: what they do with NaN is nowhere laid down.

Types are strict, as IEC 61131-3 has no implicit conversions that lose anything: both sides of an operator and of an assignment have the same
type; only literals take the type of their surroundings. So the machine is a type checker too: a wrong name, type or parameter ends the load.

  * REAL is IEEE 754 single: the result of every operation is rounded to it. (One operation in double, rounded to single, gives the same bits as
    the operation in single: double has more than twice the digits.) Comparisons with NaN are FALSE, `<>` is TRUE.
  * Integers wrap at their width. TIME is whole milliseconds.
  * TON counts the cycle of the scan in which IN rises, as the port's timer does. The standard's diagram begins at zero there: on such a PLC every
    time-out is one cycle longer. Whether text and port are equal does not depend on it.
  * VAR_IN_OUT is copied in and out: the same as a reference while nobody passes one variable twice.
"""

import ctypes
import functools
import keyword
import math

from blark import transform as tree
from blark.parse import parse_source_code

# Width in bits and whether signed.
INTEGERS = {"INT": (16, True), "UINT": (16, False), "DINT": (32, True), "UDINT": (32, False), "LINT": (64, True), "ULINT": (64, False)}
BITS = {"WORD": 16, "DWORD": 32}
ARITHMETIC = {"+": "+", "-": "-", "*": "*", "/": "/"}
COMPARISONS = {"=": "==", "<>": "!=", "<": "<", ">": ">", "<=": "<=", ">=": ">="}
LOGICAL = {"AND": "and", "OR": "or", "XOR": "!="}
LITERAL_INT, LITERAL_REAL = "integer literal", "real literal"
TIMER = {"in": "BOOL", "pt": "TIME", "q": "BOOL", "et": "TIME"}


class Refused(Exception):
    """The text is wrong, or uses something outside the subset."""


@functools.cache
def parsed(text):
    """Declarations of a text."""
    result = parse_source_code(text)
    if result.exception:
        raise Refused(f"does not parse: {result.exception}")
    return result.transform().items


def single(value):
    """Rounded to REAL."""
    return ctypes.c_float(value).value


def divide(a, b):
    """REAL division with IEEE results for zero."""
    if b == 0.0:
        return math.nan if a == 0.0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1.0, b)
    return single(a / b)


def limit(low, value, high):
    """LIMIT(MN, IN, MX) = MIN(MAX(IN, MN), MX)."""
    value = low if value < low else value
    return high if value > high else value


def wrap(value, bits, signed):
    """An integer at its width."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value


class Record:
    """An instance: of a structure, a block or a program. Its members are attributes in lower case."""

    def copy(self):
        """A value of its own, structures inside included."""
        twin = Record.__new__(type(self))
        for name, value in vars(self).items():
            setattr(twin, name, value.copy() if isinstance(value, Record) else value)
        return twin


class Timer(Record):
    """TON."""

    def __init__(self):
        self.q, self.et = False, 0

    def step(self, on, limit_ms, cycle_ms):
        """One call."""
        self.et = min(limit_ms, self.et + cycle_ms) if on else 0
        self.q = on and self.et >= limit_ms


class Unit:
    """A type with members: name -> (type, section, initial value or None, constant)."""

    def __init__(self, name):
        self.name, self.members, self.run, self.source = name, {}, None, ""

    def type_of(self, member):
        """Type of a member."""
        if member not in self.members:
            raise Refused(f"{self.name} has no {member}")
        return self.members[member][0]


class Machine:
    """Types and blocks of all texts that were loaded; makes instances and runs them."""

    def __init__(self, *texts):
        self.units, self.cycle_ms = {}, 0
        pending = []
        for text in texts:
            pending += parsed(text)
        for item in pending:
            self._declare(item)
        for item in pending:
            if isinstance(item, (tree.FunctionBlock, tree.Program)):
                self._compile(item)

    # Declarations

    def _declare(self, item):
        if isinstance(item, tree.DataTypeDeclaration):
            if not isinstance(item.declaration, tree.StructureTypeDeclaration):
                raise Refused(f"type {type(item.declaration).__name__}")
            unit = self._new(item.declaration.name)
            for element in item.declaration.declarations:
                self._variables(unit, element, "STRUCT", False)
        elif isinstance(item, (tree.FunctionBlock, tree.Program)):
            unit = self._new(item.name)
            for block in item.declarations:
                header = block.block_header.upper()
                constant = "CONSTANT" in str(getattr(block, "attrs", "") or "").upper()
                if header not in ("VAR", "VAR_INPUT", "VAR_OUTPUT", "VAR_IN_OUT"):
                    raise Refused(f"{header} in {item.name}")
                for declaration in block.items:
                    self._variables(unit, declaration, header, constant)
        else:
            raise Refused(type(item).__name__)

    def _new(self, name):
        key = str(name).lower()
        if key in self.units:
            raise Refused(f"{name} is declared twice")
        self.units[key] = Unit(str(name))
        return self.units[key]

    def _variables(self, unit, declaration, section, constant):
        kind = str(declaration.init.spec.type).upper()
        for variable in declaration.variables:
            name = str(variable.variable.name).lower()
            if keyword.iskeyword(name):
                raise Refused(f"{unit.name}.{name}: a word of Python, which this machine cannot carry")
            if name in unit.members:
                raise Refused(f"{unit.name}.{name} is declared twice")
            unit.members[name] = (kind, section, declaration.init.value, constant)

    def _initial(self, kind, value):
        if value is not None:
            text, found = self._literal(value)
            return eval(self._fit(text, found, kind))  # Made by _literal: a number.
        if kind == "BOOL":
            return False
        if kind == "REAL":
            return 0.0
        if kind in INTEGERS or kind in BITS or kind == "TIME":
            return 0
        return self.new(kind)

    def new(self, kind):
        """An instance of a structure, block or program, with its initial values."""
        if kind.upper() == "TON":
            return Timer()
        if kind.lower() not in self.units:
            raise Refused(f"unknown type {kind}")
        record = Record()
        for name, (inner, section, value, _) in self.units[kind.lower()].members.items():
            setattr(record, name, self._initial(inner, value) if section != "VAR_IN_OUT" else None)
        return record

    def call(self, kind, record, **inputs):
        """One scan of an instance. Inputs by name in lower case; VAR_IN_OUT is read back from the instance."""
        for name, value in inputs.items():
            setattr(record, name, value)
        self.units[kind.lower()].run(record)

    # Statements

    def _compile(self, item):
        unit = self.units[str(item.name).lower()]
        lines = ["def run(s):", "    pass"] + self._statements(item.body.statements if item.body else [], unit, 1)
        unit.source = "\n".join(lines)
        names = {"single": single, "divide": divide, "limit": limit, "wrap": wrap, "machine": self}
        exec(unit.source, names)  # Made by this class from the parse tree: names are identifiers, numbers are literals.
        unit.run = names["run"]

    def _statements(self, statements, unit, depth):
        lines = []
        for statement in getattr(statements, "statements", statements) or []:
            lines += self._statement(statement, unit, depth)
        return lines

    def _statement(self, st, unit, depth):
        pad = "    " * depth
        if isinstance(st, tree.AssignmentStatement):
            value, found = self._expression(st.expression, unit)
            if len(st.variables) != 1:
                raise Refused("chained assignment")
            target, kind = self._variable(st.variables[0], unit, write=True)
            copy = ".copy()" if kind.lower() in self.units else ""
            return [f"{pad}{target} = {self._fit(value, found, kind)}{copy}"]
        if isinstance(st, tree.IfStatement):
            lines = [f"{pad}if {self._condition(st.if_expression, unit)}:"]
            lines += self._statements(st.statements, unit, depth + 1) or [pad + "    pass"]
            for clause in st.else_ifs:
                lines += [f"{pad}elif {self._condition(clause.if_expression, unit)}:"]
                lines += self._statements(clause.statements, unit, depth + 1) or [pad + "    pass"]
            if st.else_clause:
                lines += [pad + "else:"] + (self._statements(st.else_clause.statements, unit, depth + 1) or [pad + "    pass"])
            return lines
        if isinstance(st, tree.FunctionCallStatement):
            return self._block_call(st, unit, pad)
        raise Refused(f"{type(st).__name__} in {unit.name}")

    def _block_call(self, st, unit, pad):
        target, kind = self._variable(st.name, unit, write=False)
        given = {}
        for parameter in st.parameters or []:
            if not isinstance(parameter, tree.InputParameterAssignment) or parameter.name is None:
                raise Refused(f"parameter of {target}: only NAME := value")
            given[str(parameter.name.name).lower()] = parameter.value
        if kind == "TON":
            if set(given) != {"in", "pt"}:
                raise Refused(f"TON needs IN and PT, has {sorted(given)}")
            on, limit_ms = (self._fit(*self._expression(given[n], unit), TIMER[n]) for n in ("in", "pt"))
            return [f"{pad}{target}.step({on}, {limit_ms}, machine.cycle_ms)"]
        if kind.lower() not in self.units:
            raise Refused(f"{target} is no block")
        block = self.units[kind.lower()]
        lines, back = [], []
        for name, value in given.items():
            inner, section = block.members.get(name, (None, None))[:2]
            if section not in ("VAR_INPUT", "VAR_IN_OUT"):
                raise Refused(f"{block.name} has no input {name}")
            text = self._fit(*self._expression(value, unit), inner)
            lines += [f"{pad}{target}.{name} = {text}" + (".copy()" if inner.lower() in self.units else "")]
            if section == "VAR_IN_OUT":
                back += [f"{pad}{self._variable(value, unit, write=True)[0]} = {target}.{name}"]
        missing = [n for n, m in block.members.items() if m[1] == "VAR_IN_OUT" and n not in given]
        if missing:
            raise Refused(f"{block.name} is called without {missing}")
        return [*lines, f"{pad}machine.units[{kind.lower()!r}].run({target})", *back]

    # Expressions: (Python text, type)

    def _condition(self, node, unit):
        text, kind = self._expression(node, unit)
        return self._fit(text, kind, "BOOL")

    def _variable(self, node, unit, write):
        if isinstance(node, tree.SimpleVariable):
            path = [str(node.name).lower()]
        elif isinstance(node, tree.MultiElementVariable):
            path = [str(node.name.name).lower()]
            for element in node.elements:
                if not isinstance(element, tree.FieldSelector):
                    raise Refused(f"{type(element).__name__} in {unit.name}")
                path.append(str(element.field.name).lower())
        else:
            raise Refused(f"{type(node).__name__} in {unit.name}")
        kind = unit.type_of(path[0])
        section, constant = unit.members[path[0]][1], unit.members[path[0]][3]
        if write and (constant or section == "VAR_INPUT"):
            raise Refused(f"{unit.name}: {path[0]} is written")
        for name in path[1:]:
            if kind == "TON" and name in TIMER:
                kind = TIMER[name]
            elif kind.lower() in self.units:
                inner = self.units[kind.lower()]
                if inner.members.get(name, (None, "STRUCT"))[1] not in ("STRUCT", "VAR_OUTPUT"):
                    raise Refused(f"{unit.name}: {name} of {inner.name} is not seen outside")
                kind = inner.type_of(name)
            else:
                raise Refused(f"{unit.name}: {kind} has no {name}")
        return "s." + ".".join(path), kind

    @staticmethod
    def _literal(node):
        if isinstance(node, tree.Boolean):
            return str(str(node.value).upper() in ("TRUE", "BOOL#TRUE")), "BOOL"
        if isinstance(node, tree.Integer):
            return str(int(str(node.value).replace("_", ""), node.base)), LITERAL_INT
        if isinstance(node, tree.Real):
            return repr(single(float(str(node.value).replace("_", "")))), LITERAL_REAL
        if isinstance(node, tree.Duration):
            units = {"days": 86_400_000, "hours": 3_600_000, "minutes": 60_000, "seconds": 1_000, "milliseconds": 1}
            total = sum(float(str(getattr(node, unit))) * ms for unit, ms in units.items() if getattr(node, unit) is not None)
            return str(round(total)), "TIME"
        raise Refused(f"literal {type(node).__name__}")

    def _expression(self, node, unit):
        if isinstance(node, (tree.SimpleVariable, tree.MultiElementVariable)):
            return self._variable(node, unit, write=False)
        if isinstance(node, tree.ParenthesizedExpression):
            text, kind = self._expression(node.expr, unit)
            return f"({text})", kind
        if isinstance(node, tree.UnaryOperation):
            return self._unary(node, unit)
        if isinstance(node, tree.BinaryOperation):
            return self._binary(node, unit)
        if isinstance(node, tree.FunctionCall):
            return self._function(node, unit)
        return self._literal(node)

    def _unary(self, node, unit):
        text, kind = self._expression(node.expr, unit)
        op = str(node.op).upper()
        if op == "NOT" and kind == "BOOL":
            return f"(not {text})", "BOOL"
        if op == "-" and kind in ("REAL", LITERAL_REAL, LITERAL_INT):
            return f"(-{text})", kind
        raise Refused(f"{op} {kind} in {unit.name}")

    def _binary(self, node, unit):
        (left, kind_left), (right, kind_right) = self._expression(node.left, unit), self._expression(node.right, unit)
        op = str(node.op).upper()
        literal = (LITERAL_INT, LITERAL_REAL)
        kind = kind_right if kind_left in literal else kind_left
        left, right = self._fit(left, kind_left, kind), self._fit(right, kind_right, kind)
        if op in LOGICAL and kind == "BOOL":
            # Both sides are evaluated by the standard; without calls inside it makes no difference.
            return f"({left} {LOGICAL[op]} {right})", "BOOL"
        if op in COMPARISONS and (kind in INTEGERS or kind in ("REAL", "TIME") or (kind in ("BOOL", *BITS) and op in ("=", "<>"))):
            return f"({left} {COMPARISONS[op]} {right})", "BOOL"
        if op in ARITHMETIC and kind == "REAL":
            return (f"divide({left}, {right})" if op == "/" else f"single({left} {op} {right})"), "REAL"
        if op in "+-*" and kind in INTEGERS:
            bits, signed = INTEGERS[kind]
            return f"wrap({left} {op} {right}, {bits}, {signed})", kind
        raise Refused(f"{kind_left} {op} {kind_right} in {unit.name}")

    def _function(self, node, unit):
        name = str(node.name.name).upper()
        counts = {"LIMIT": 3, "ABS": 1}
        arguments = [self._expression(getattr(p, "value", p), unit) for p in node.parameters or []]
        if name not in counts or len(arguments) != counts[name]:
            raise Refused(f"{name} with {len(arguments)} arguments in {unit.name}")
        kinds = [k for _, k in arguments if k not in (LITERAL_INT, LITERAL_REAL)]
        kind = kinds[0] if kinds else "REAL"
        if kind != "REAL":
            raise Refused(f"{name} of {kind} in {unit.name}")
        text = ", ".join(self._fit(t, k, kind) for t, k in arguments)
        return f"{name.lower()}({text})", kind

    def _fit(self, text, found, wanted):
        """The text, if a value of type `found` may stand where `wanted` is expected."""
        if found == wanted and wanted not in (LITERAL_INT, LITERAL_REAL):
            return text
        if found == LITERAL_INT and (wanted in INTEGERS or wanted in BITS):
            bits, signed = INTEGERS.get(wanted, (BITS.get(wanted), False))
            if wrap(eval(text), bits, signed) == eval(text):  # A literal of _literal or its negative.
                return text
        if found == LITERAL_REAL and wanted == "REAL":
            return text
        raise Refused(f"{found} where {wanted} is expected: {text}")
