"""A stage that is done is not done again, as long as its files are the ones that were written."""

import json
import shutil

import pytest

from tunewright.job.checkpoints.mirror import Mirror
from tunewright.job.steps.run.stages import Form, Stages
from tunewright.registry.stores.store import open_store

NUMBER = Form[int](lambda number: number, int)


@pytest.fixture
def go(tmp_path):
    """go("disk"): what two stages find, and which of them were done; the second one is of the first."""

    def stages(disk="disk", *, of="weights", setting=1, bucket=None, found=7):
        folder, done = tmp_path / disk, []
        (folder / "bundle").mkdir(parents=True, exist_ok=True)

        def export():
            done.append("export")
            shutil.rmtree(folder / "bundle")
            (folder / "bundle").mkdir()
            (folder / "bundle/model.onnx").write_bytes(b"graph")
            return found

        def test():
            done.append("test")
            return 8

        with Stages(folder, bucket) as kept:
            kept.begin(of)
            results = kept.once("export", NUMBER, export, files=True), kept.once("test", NUMBER, test, of=setting)
        return results, done

    return stages


def test_what_is_done_is_not_done_again(go, tmp_path, capsys):
    assert go() == ((7, 8), ["export", "test"])
    (tmp_path / "disk/bundle/model.json").write_text("of a later step, which comes again")
    assert go() == ((7, 8), [])
    assert not (tmp_path / "disk/bundle/model.json").exists()
    assert "export is done already, and is not done again" in capsys.readouterr().out


def test_other_weights_do_all_again(go):
    go()
    assert go(of="other weights")[1] == ["export", "test"]


def test_another_setting_does_again_what_it_decides(go):
    go()
    assert go(setting=2)[1] == ["test"]


def test_what_an_earlier_stage_finds_decides_the_later_ones(go, tmp_path):
    go()
    (tmp_path / "disk/stages/export.json").unlink()
    assert go(found=9) == ((9, 8), ["export", "test"])


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(b"graqh")])
def test_a_file_that_is_not_what_was_written_is_made_again(go, tmp_path, spoil, capsys):
    go()
    path = tmp_path / "disk/bundle/model.onnx"
    spoil(path)
    assert go()[1] == ["export"]
    assert path.read_bytes() == b"graph"
    assert f"export is done again: {path} is not the file that was written" in capsys.readouterr().out


@pytest.mark.parametrize("spoil", [lambda text: text[:-9], lambda text: text.replace("7", "8"), lambda text: "[]"])
def test_a_record_that_was_changed_is_none(go, tmp_path, spoil):
    go()
    path = tmp_path / "disk/stages/export.json"
    path.write_text(spoil(path.read_text()))
    assert go()[0] == (7, 8)
    assert json.loads(path.read_text())["stage"]["result"] == 7


def test_another_disk_takes_them_from_the_bucket(go, tmp_path):
    bucket = Mirror(open_store(str(tmp_path / "bucket")), "run")
    go(bucket=bucket)
    assert go("other", bucket=bucket) == ((7, 8), [])
    assert (tmp_path / "other/bundle/model.onnx").read_bytes() == b"graph"
    (tmp_path / "bucket/run/bundle/model.onnx").write_bytes(b"graqh")
    assert go("third", bucket=bucket)[1] == ["export"]


def test_without_a_folder_nothing_is_kept():
    stages = Stages()
    assert [stages.once("export", NUMBER, lambda: 7, files=True) for _ in range(2)] == [7, 7]
