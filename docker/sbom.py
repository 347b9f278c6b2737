"""Prints what the image that it runs in holds, as a bill of materials: CycloneDX 1.6, in JSON.

    podman run --rm -i --entrypoint python IMAGE - NAME DIGEST < docker/sbom.py

Python's packages, and those of the system. The same image gives the same document. `make sbom` does it for both.
"""

import json
import re
import sys
import uuid
from collections.abc import Iterator
from email.parser import Parser
from importlib import metadata
from pathlib import Path
from urllib.parse import quote

PACKAGES = Path("/var/lib/dpkg/status.d")
"""What docker/python_alone.py keeps of the packages of Debian."""
Component = dict[str, object]


def of_python() -> Iterator[Component]:
    """Each distribution that Python imports from."""
    for one in metadata.distributions():
        told = one.metadata
        name = re.sub(r"[-_.]+", "-", told["Name"]).lower()
        yield component(told["Name"], told["Version"], f"pkg:pypi/{name}@{quote(told['Version'])}")


def of_debian() -> Iterator[Component]:
    """Each package of which a file is here."""
    lines = Path("/etc/os-release").read_text().splitlines()
    system = {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}
    for path in PACKAGES.glob("*"):
        told = Parser().parsestr(path.read_text(errors="replace"), headersonly=True)
        if path.suffix or "Version" not in told:
            continue
        where = (
            f"arch={told['Architecture']}&distro={system['ID'].strip(chr(34))}-{system['VERSION_ID'].strip(chr(34))}"
        )
        address = f"pkg:deb/debian/{told['Package']}@{quote(told['Version'])}?{where}"
        yield component(told["Package"], told["Version"], address)


def component(name: str, version: str, address: str) -> Component:
    """A package in the words of CycloneDX."""
    return {"type": "library", "bom-ref": address, "name": name, "version": version, "purl": address}


def main() -> None:
    """Print the document."""
    name, digest = sys.argv[1:]
    found = {str(one["purl"]): one for one in (*of_python(), *of_debian())}
    whole = {"type": "container", "bom-ref": "image", "name": name, "version": digest}
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'urn:tunewright:image:{digest}')}",
        "version": 1,
        "metadata": {"component": whole},
        "components": [found[address] for address in sorted(found)],
        "dependencies": [{"ref": "image", "dependsOn": sorted(found)}],
    }
    json.dump(document, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
