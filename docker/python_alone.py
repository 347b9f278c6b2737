"""Writes a root of Python and what it needs, and of nothing else: the base that the images run on.

    python3 python_alone.py ROOT

Copied from the running system: this interpreter and its standard library with byte code (without it every start
compiles it anew, a third of a second), the shared libraries that they link and those that a wheel may expect, and
certificates. Of a Debian system also the copyright and the entry of each package that a copied file is of: licences ask
for the one, scanners read the other. There is no shell in it, no package manager and no other program.
"""

import compileall
import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from py_compile import PycInvalidationMode

UNUSED = ("test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "pydoc_data", "config-*")
"""Of the standard library: nothing here imports them."""
ELSEWHERE = ("__pycache__", "site-packages", "dist-packages")
"""Byte code is written anew; packages are another matter."""
CONFIGURATION = ("/etc/nsswitch.conf", "/etc/ld.so.cache", "/etc/os-release", "/etc/ssl/openssl.cnf")
EXPECTED = (
    *("libc.so.6", "libdl.so.2", "libexpat.so.1", "libgcc_s.so.1", "libm.so.6", "libmvec.so.1", "libnsl.so.1"),
    *("libpthread.so.0", "libresolv.so.2", "librt.so.1", "libstdc++.so.6", "libutil.so.1", "libz.so.1"),
)
"""What a manylinux wheel (PEP 600) may link without bringing it along, but for graphics and glib."""
OF_NAMES = ("libnss_dns.so.2", "libnss_files.so.2")
"""What glibc before 2.34 loads to find a host."""


def real(path: Path) -> Path:
    """The path with its folders resolved: /lib is a link to /usr/lib, and one file may have two such names."""
    return path.parent.resolve() / path.name


def told(*command: str) -> str:
    """What a program of the base prints; that it does not know some of the names is no fault."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - our own words


def linked(paths: list[Path]) -> Iterator[Path]:
    """The shared libraries that programs and libraries load, at any depth, with the loader."""
    for line in told("ldd", *map(str, paths)).splitlines():
        if found := re.search(r"(/\S+) \(0x", line):
            yield real(Path(found[1]))


class Root:
    """The new root, and which files of the system lie in it."""

    def __init__(self, folder: Path) -> None:
        """An empty root; what is a link at the top of the system is one here."""
        self.folder = folder
        self.copied: set[Path] = set()
        for link in Path("/").iterdir():
            if link.is_symlink() and link.name.startswith(("lib", "bin", "sbin")):
                self.link(link)

    def at(self, path: Path) -> Path:
        """The place of a path in this root, with its folder made."""
        place = self.folder / path.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def link(self, path: Path) -> None:
        """A symbolic link as it is, once."""
        if not self.at(path).is_symlink():
            self.at(path).symlink_to(path.readlink())

    def file(self, path: Path) -> None:
        """A file under its name, as a file also where it is a link; nothing where it is not there."""
        if path.is_file() and not self.at(path).exists():
            shutil.copy2(path, self.at(path))
            self.copied |= {path, real(path.resolve())}

    def tree(self, path: Path, *unused: str) -> None:
        """A folder with all in it, links as what they point to."""
        ignore = shutil.ignore_patterns(*unused)
        shutil.copytree(path, self.at(path), ignore=ignore, ignore_dangling_symlinks=True, dirs_exist_ok=True)
        self.copied |= {file for file in path.rglob("*") if file.is_file()}


def python(root: Root) -> list[Path]:
    """Copy the interpreter under each of its names, and its library. Returns what may link shared libraries."""
    name = Path(sys._base_executable)  # type: ignore[attr-defined]  # where the environment's own link ends
    program = name.resolve()
    root.file(program)
    for other in program.parent.glob("python3*"):
        if other.is_symlink() and other.resolve() == program:
            root.link(other)
    folders = {Path(sysconfig.get_path(kind, vars={"base": sys.base_prefix})) for kind in ("stdlib", "platstdlib")}
    for folder in folders:
        root.tree(folder, *UNUSED, *ELSEWHERE)
        mode = PycInvalidationMode.UNCHECKED_HASH
        place = root.at(folder)
        compileall.compile_dir(place, stripdir=root.folder, prependdir="/", quiet=1, invalidation_mode=mode)
    return [program, *(file for folder in folders for file in folder.rglob("*.so"))]


def certificates(root: Root) -> None:
    """Copy the certificates where OpenSSL looks for them."""
    paths = ssl.get_default_verify_paths()
    root.tree(Path("/etc/ssl/certs"))
    for place in (paths.openssl_cafile, paths.openssl_capath):
        if Path(place).is_symlink():
            root.link(Path(place))


def entries(root: Root) -> None:
    """Copy what Debian knows of the packages whose files were copied."""
    if not shutil.which("dpkg-query"):
        return
    # A file of a package is listed where the package put it, which may be the other side of a link at the top.
    names = {str(path).removeprefix("/usr") for path in root.copied} | {str(path) for path in root.copied}
    owners = told("dpkg-query", "-S", *sorted(names)).splitlines()
    for package in sorted({line.partition(":")[0] for line in owners}):
        root.file(Path(f"/usr/share/doc/{package}/copyright"))
        root.at(Path(f"/var/lib/dpkg/status.d/{package}")).write_text(told("dpkg-query", "-s", package))


def main() -> None:
    """Write the root."""
    root = Root(Path(sys.argv[1]))
    libraries = set(linked(python(root)))
    beside = {path.parent for path in libraries}
    expected = {real(folder / name) for folder in beside for name in (*EXPECTED, *OF_NAMES) if (folder / name).exists()}
    for library in sorted(libraries | expected | set(linked(sorted(expected)))):
        root.file(library)
    for path in CONFIGURATION:
        root.file(Path(path))
    certificates(root)
    entries(root)
    for name in ("dev", "proc", "run", "sys", "tmp"):
        (root.folder / name).mkdir(mode=0o755)
    (root.folder / "tmp").chmod(0o1777)


if __name__ == "__main__":
    main()
