"""Files that are replaced while they are used."""

import time

from tunewright.serving.doors.file_changes import FileChanges


def changed(changes):
    for _ in range(300):
        if changes.are_there():
            return True
        time.sleep(0.02)
    return False


def test_each_change_is_told_once(tmp_path):
    (tmp_path / "a").write_text("1")
    changes = FileChanges([tmp_path / "a", tmp_path / "b"])
    (tmp_path / "b").write_text("2")
    assert changed(changes)
    time.sleep(1.1)
    assert not changes.are_there()
    # As Kubernetes does it: another file takes the name.
    (tmp_path / "c").write_text("1")
    (tmp_path / "c").rename(tmp_path / "a")
    assert changed(changes)


def test_a_file_that_goes_is_a_change(tmp_path):
    (tmp_path / "a").write_text("1")
    changes = FileChanges([tmp_path / "a"])
    (tmp_path / "a").unlink()
    assert changed(changes)


def test_no_files_never_change():
    assert not FileChanges([]).are_there()
