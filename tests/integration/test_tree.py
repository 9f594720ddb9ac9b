"""Rules of the tree that reading it can check."""

import re
import subprocess

import lab
import pytest
from conftest import ROOT

# A folder may include itself and these (architecture, section 3).
MAY_INCLUDE = {
    "parsers": {"parsers"},
    "dataplane/base": set(),
    "dataplane/api": {"dataplane/base", "parsers"},
    "dataplane/core": {"dataplane/api", "dataplane/base", "parsers"},
    "dataplane/nic": {"dataplane/core", "dataplane/api", "dataplane/base", "parsers"},
    "dataplane/origin": {"dataplane/core", "dataplane/api", "dataplane/base", "parsers"},
    "dataplane/uring": {"dataplane/origin", "dataplane/core", "dataplane/api", "dataplane/base", "parsers"},
    "dataplane/keeper": {"dataplane/core", "dataplane/api", "dataplane/base", "parsers"},
    "dataplane": {"dataplane", "parsers"},
    "controlplane": {"controlplane", "dataplane/api", "dataplane/base", "parsers"},
    # The client of the control socket; `explain` runs messages through the data plane's own code.
    "tools/penstockctl": {"controlplane", "dataplane/api", "dataplane/base", "dataplane/core", "parsers"},
    "tools/replay": {"controlplane", "dataplane/core", "dataplane/api", "dataplane/base", "parsers"},
    "tools": {"tools", "dataplane/api", "dataplane/base", "parsers"},
}
MAX_LINES = 600
GENERATOR = {"nic": "dpdk.cc"}  # the other end of such a port
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.MULTILINE)


def tracked(*patterns):
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, check=True)
    return [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def sources():
    return tracked("*.cc", "*.h", "*.c")


def includes(name):
    return [path for _, path in INCLUDE.findall((ROOT / name).read_text())]


def own_includes(name):
    return [path for quote, path in INCLUDE.findall((ROOT / name).read_text()) if quote == '"']


def folder_of(name):
    """The longest folder of MAY_INCLUDE that holds `name`."""
    return max((f for f in MAY_INCLUDE if name.startswith(f + "/")), key=len, default=None)


def test_includes_point_one_way():
    wrong = []
    for name in sources():
        folder = folder_of(name)
        if folder is None:
            continue
        allowed = MAY_INCLUDE[folder] | {folder}
        for path in own_includes(name):
            target = folder_of(path)
            if target and not any(target == a or target.startswith(a + "/") for a in allowed):
                wrong.append(f"{name} includes {path}")
    assert not wrong


def test_includes_are_written_from_the_root():
    generated = {"penstock_build_id.h", "penstock_version.h", "capture.pb.h"}
    third_party = re.compile(r"^(spdlog|absl|gtest|gmock|yaml-cpp|nlohmann|xxhash|httplib|benchmark|bpf|xdp|rte_)")
    wrong = [f"{name} includes {path}" for name in sources() for path in own_includes(name)
             if not (ROOT / path).is_file() and not (name.startswith("tests/") and (ROOT / name).parent.joinpath(path).is_file())
             and path.split("/")[-1] not in generated and not third_party.match(path)]
    assert not wrong


@pytest.mark.parametrize("header, home", [(r"rte_", "nic"), (r"liburing", "uring")])
def test_library_stays_in_its_folder(header, home):
    wrong = [f"{name} includes {path}" for name in sources() for path in includes(name)
             if re.match(header, path) and not name.startswith((f"dataplane/{home}/", "bench/"))
             and not re.match(f"tests/(unit|fuzz)/{home}/", name)
             and name != f"tools/pktgen/{GENERATOR.get(home)}"]
    assert not wrong


def test_parsers_use_the_standard_library_only():
    third_party = re.compile(r"^(absl|rte_|liburing|spdlog|xxhash|yaml|nlohmann|dataplane|controlplane)")
    wrong = [f"{name} includes {path}" for name in tracked("parsers/*.cc", "parsers/*.h") for path in includes(name)
             if third_party.match(path)]
    assert not wrong


def test_no_file_is_too_long():
    long = {name: n for name in sources() + tracked("*.py")
            if (n := len((ROOT / name).read_text().splitlines())) > MAX_LINES}
    assert not long


def test_headers_are_guarded():
    assert not [n for n in tracked("*.h") if "#pragma once" not in (ROOT / n).read_text()]


def test_nothing_is_left_for_later():
    marks = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
    assert not [n for n in sources() + tracked("*.py", "tools/*") if marks.search((ROOT / n).read_text())]


def test_one_list_of_packages():
    """Nothing but tools/install-packages installs Debian packages."""
    installs = re.compile(r"apt(-get)? install|apt-get -")
    found = [n for n in tracked("tools/*", ".ci/*", "tests/*.py", "README.md", "bench/lib/*", "bench/peers") if installs.search((ROOT / n).read_text())
             and n not in ("tools/install-packages", "tests/integration/test_tree.py")]
    assert not found
    listed = [line.split("#")[0].split() for line in (ROOT / "tools/packages.txt").read_text().splitlines()]
    names = [words[0] for words in listed if words]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("variant", ["sse42", "avx2", "avx512"])
def test_kernels_share_no_code_with_other_files(variant):
    """An inline function that is one for the whole process would run on CPUs that it was not built for."""
    archive = lab.BUILD / f"parsers/simd/libsimd_{variant}.a"
    symbols = subprocess.run(["nm", "--defined-only", "--demangle", archive], capture_output=True, text=True, check=True).stdout
    assert "Kernel" in symbols
    shared = [line for line in symbols.splitlines() if re.match(r"[0-9a-f]+ [VvWwu] ", line)]
    assert not shared


def test_lock_files_name_no_host():
    locks = tracked("*package-lock.json")
    assert len(locks) == 2 and not [name for name in locks if '"resolved"' in (ROOT / name).read_text()]


def test_readme_has_its_two_commands():
    text = (ROOT / "README.md").read_text()
    assert "tools/quickstart" in text and "tools/check" in text


def test_front_doors_are_executable():
    for name in ("tools/quickstart", "tools/check", "tools/install-packages", ".ci/run"):
        assert (ROOT / name).stat().st_mode & 0o111, name


def test_every_fuzzer_has_a_corpus():
    names = set()
    for meson in tracked("tests/fuzz/*/meson.build"):
        text = re.sub(r"#.*", "", (ROOT / meson).read_text())
        names |= set(re.findall(r"'(\w+)':\s*\[", text))
    without = [n for n in names if not any((ROOT / "tests/fuzz/corpus" / n).glob("*"))]
    assert not without
