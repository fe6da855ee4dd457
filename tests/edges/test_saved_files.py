from doors.cli.cli_home import OTHER, CliHome, SealedRun
from saksi.edges.saved_files import saved_elsewhere
from simulated_run import RUN

A, B = (f"sha256:{letter * 64}" for letter in "ab")


def kept(root, run: str = RUN, *, path: str = "/out/a.pt", digest: str = A, **more):
    simulated = SealedRun(run)
    simulated.file(path=path, digest=digest, **more)
    simulated.exit()
    return {run: CliHome(root, None).keep(simulated)}


def test_a_content_is_found_wherever_it_was_saved(tmp_path):
    runs = kept(tmp_path) | kept(tmp_path, OTHER, path="/out/b.pt")
    found = saved_elsewhere(runs, digests={A}, paths=set())
    assert [(each.run, each.use.path, each.use.step) for each in found.saves] == [
        (RUN, "/out/a.pt", 5),
        (OTHER, "/out/b.pt", 5),
    ]
    assert found.unasked == 0


def test_a_path_is_found_whatever_was_saved_there(tmp_path):
    runs = kept(tmp_path, path='/out/"odd" \u00e4.pt', digest=B)
    (found,) = saved_elsewhere(runs, digests={A}, paths={'/out/"odd" \u00e4.pt'}).saves
    assert found.use.digest == B


def test_what_was_loaded_there_is_no_save(tmp_path):
    assert saved_elsewhere(kept(tmp_path, action="loaded"), digests={A}, paths=set()).saves == ()


def test_a_run_that_cannot_be_read_is_counted(tmp_path):
    runs = kept(tmp_path)
    (runs[RUN] / "head").write_bytes(b"nothing")
    assert saved_elsewhere(runs, digests={A}, paths=set()) == ((), 1)
