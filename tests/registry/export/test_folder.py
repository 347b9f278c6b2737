"""A folder that is written into in place: whatever it is, whoever is at work, and wherever a run was killed."""

import os

import pytest

from tunewright.registry.errors import BadReference, Conflict, CorruptObject
from tunewright.registry.export.folder import STAGING, files_in, whole

MARK = ".mark"


@pytest.fixture
def write_files(tmp_path):
    """write_files({"a/b": "text"}) writes them as the whole of a folder."""

    def make(files, *, target=tmp_path / "made", mark=MARK):
        with whole(target, mark=mark) as folder:
            for path, text in files.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(text)
        return target

    return make


def test_a_link_an_empty_folder_and_the_own_folder_stay_what_they_are(write_files, tmp_path, monkeypatch):
    (tmp_path / "disk/lost+found").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    identity = (tmp_path / "disk").stat().st_ino
    write_files({"index": "1", "a/b": "1"}, target=tmp_path / "link")
    monkeypatch.chdir(tmp_path / "disk")
    write_files({"index": "2"}, target=type(tmp_path)("."))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk").stat().st_ino == identity  # a mount point cannot be renamed
    assert files_in(tmp_path / "disk") == (MARK, "index")
    assert not (tmp_path / "disk/a").exists()


def test_what_fails_leaves_everything_as_it_was(write_files, tmp_path):
    folder = write_files({"index": "1"})
    for target in (folder, tmp_path / "new"):
        with pytest.raises(ZeroDivisionError), whole(target, mark=MARK) as made:
            (made / "index").write_text("2")
            1 / 0  # noqa: B018
    assert (folder / "index").read_text() == "1"
    assert files_in(folder) == (MARK, "index")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


@pytest.mark.parametrize("mark", [MARK, None])
@pytest.mark.parametrize("renames", range(4))
def test_after_a_kill_anywhere_the_next_run_does_the_rest(write_files, tmp_path, monkeypatch, mark, renames):
    new = {"a/b": "2", "c": "2", "index": "2"}
    if mark:
        write_files({"index": "1", "gone/x": "1"}, mark=mark)
    child = os.fork()
    if child == 0:
        left = iter(range(renames))
        replace = type(tmp_path).replace

        def or_die(path, target):
            if target.is_relative_to(tmp_path / "made") and STAGING not in target.parts and next(left, None) is None:
                os._exit(9)
            return replace(path, target)

        type(tmp_path).replace = or_die
        write_files(new, mark=mark)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (0 if renames == 3 and not mark else 9)
    if renames == 3 and not mark:
        return
    assert (tmp_path / "made" / STAGING).is_dir()
    folder = write_files({"c": "3", "index": "3"}, mark=mark)
    assert files_in(folder) == (*([MARK] if mark else []), "c", "index")
    assert [path for path in folder.iterdir() if path.is_dir()] == []


def test_two_at_once_are_told_apart(write_files, tmp_path):
    with whole(tmp_path / "made"), pytest.raises(Conflict) as caught:
        write_files({"index": "2"})
    assert str(caught.value) == f"another run writes into {tmp_path / 'made'} now; wait until it has ended"


@pytest.mark.parametrize("told", ["", "{}x", '["../mine"]', '["/etc/passwd"]', "3"])
def test_a_list_that_is_none_removes_nothing(write_files, tmp_path, told):
    folder = write_files({"index": "1"})
    (folder / MARK).write_text(told)
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(CorruptObject, match=r"\.mark is no list of what was written, so what is whose in "):
        write_files({"index": "2"})
    assert ((folder / "index").read_text(), (tmp_path / "mine").read_text()) == ("1", "mine")


def test_what_an_older_run_has_put_where_a_link_leads_now_stays(write_files, tmp_path):
    folder = write_files({"a/b": "1"})
    (folder / "a/b").rename(tmp_path / "b")
    (folder / "a").rmdir()
    (folder / "a").symlink_to(tmp_path)
    write_files({"index": "2"})
    assert (tmp_path / "b").read_text() == "1"


def test_files_of_others_are_refused_before_the_work(write_files, tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made/notes").write_text("mine")
    with pytest.raises(BadReference, match="holds files already; choose a folder that is new or empty"):
        write_files({"index": "1"})
