"""Whether a file of a folder really lies in it: a link in a folder of somebody else's may point at any file here."""

from pathlib import Path


def leaves(folder: Path, file: Path) -> bool:
    """Whether a path inside a folder leads out of it.

    The hub's cache keeps the bytes of `snapshots/<revision>/<file>` in `blobs/` two folders up, which is no way out.
    """
    root, real = folder.resolve(), file.resolve()
    if real.is_relative_to(root):
        return False
    snapshots = next((one for one in (root, *root.parents) if one.name == "snapshots"), None)
    return snapshots is None or not real.is_relative_to(snapshots.parent / "blobs")
