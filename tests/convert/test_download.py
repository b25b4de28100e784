"""Downloads, against a server on this machine: a good file, a wrong hash, a cut-off, 404, nobody there."""

import contextlib
import hashlib
import http.server
import socket
import threading

import pytest
from convert_support import assert_same, make_arrays, write_keras

from convert_weights import download
from convert_weights.cli import main
from nst_jax.errors import NSTError
from nst_jax.networks.weights_file import load_weights


class Server:
    """Serves ``content`` in ``mode`` "good", "cut" (half of what it promises) or an HTTP status."""

    def __init__(self):
        self.content, self.mode, self.requests = b"", "good", []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append(self.path)
                if isinstance(outer.mode, int):
                    self.send_error(outer.mode)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(outer.content)))
                self.end_headers()
                whole = outer.mode == "good"
                self.wfile.write(outer.content if whole else outer.content[: len(outer.content) // 2])

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.http.server_address[1]}/mirror"


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The server, with a small VGG-19 in Keras's format whose hash stands in the table."""
    server = Server()
    write_keras(tmp_path / "small.h5", make_arrays())
    server.content = (tmp_path / "small.h5").read_bytes()
    real = download.RELEASES["vgg19", "keras"]
    digest = hashlib.md5(server.content, usedforsecurity=False).hexdigest()
    small = download.Release(real.url, f"md5:{digest}", len(server.content), real.licence)
    monkeypatch.setitem(download.RELEASES, ("vgg19", "keras"), small)
    monkeypatch.setenv(download.BASE_VARIABLE, server.base + "/")
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("NST_JAX_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    thread = threading.Thread(target=server.http.serve_forever, daemon=True)
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def cached(tmp_path):
    folder = tmp_path / "cache"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_good_file_is_converted_into_the_weights_folder_and_cached(server, tmp_path, capsys):
    assert main(["--download", "vgg19"]) == 0
    weights = load_weights(tmp_path / "weights" / "vgg19.h5", "vgg19")
    assert_same(weights, make_arrays())
    name = download.RELEASES["vgg19", "keras"].file_name
    assert weights.metadata["source_file"] == name
    assert server.requests == [f"/mirror/{name}"] and cached(tmp_path) == [name]
    output = capsys.readouterr().out
    assert "CC BY 4.0" in output and "wrote" in output
    server.mode = 404
    assert main(["--download", "vgg19", "--output", str(tmp_path / "again.h5")]) == 0
    assert len(server.requests) == 1  # from the cache


def test_damaged_file_in_the_cache_is_fetched_again(server, tmp_path):
    assert main(["--download", "vgg19"]) == 0
    path = tmp_path / "cache" / cached(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert main(["--download", "vgg19"]) == 0
    assert len(server.requests) == 2 and path.read_bytes() == server.content


def check_failure(capsys, tmp_path, reason):
    assert main(["--download", "vgg19"]) == 2
    captured = capsys.readouterr()
    release = download.RELEASES["vgg19", "keras"]
    assert captured.err.count("\n") == 1 and "Traceback" not in captured.err
    for part in (reason, f"fetch {release.url} by hand", f"python -m convert_weights {release.file_name}"):
        assert part in captured.err
    assert cached(tmp_path) == []
    assert not (tmp_path / "weights").exists()


def test_wrong_hash(server, tmp_path, capsys):
    server.content = server.content[:-1] + b"?"
    check_failure(capsys, tmp_path, "another hash than the one published")


def test_cut_off_and_then_again(server, tmp_path, capsys):
    server.mode = "cut"
    check_failure(capsys, tmp_path, "cut off")
    server.mode = "good"
    assert main(["--download", "vgg19"]) == 0


@pytest.mark.parametrize("status", [404, 403, 500])
def test_refused_by_the_server(server, tmp_path, capsys, status):
    server.mode = status
    check_failure(capsys, tmp_path, f"the server answers {status}")


def test_nobody_there(server, tmp_path, capsys, monkeypatch):
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv(download.BASE_VARIABLE, f"http://127.0.0.1:{port}")
    check_failure(capsys, tmp_path, "no connection")


def test_address_that_is_none(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv(download.BASE_VARIABLE, "nowhere")
    check_failure(capsys, tmp_path, "no connection")


def test_cache_that_cannot_be_written(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(NSTError, match="cannot write to"):
        download.fetch(download.RELEASES["vgg19", "keras"])


class Progress:
    total = 0

    def __init__(self):
        self.bytes, self.closed = 0, False

    def update(self, count):
        self.bytes += count

    def reset(self):
        self.bytes = 0

    def close(self):
        self.closed = True


def test_progress_reaches_the_size(server):
    progress = Progress()
    download.fetch(download.RELEASES["vgg19", "keras"], progress)
    assert progress.bytes == progress.total == len(server.content) and progress.closed


def test_default_address_is_the_publishers_over_https(monkeypatch):
    monkeypatch.delenv(download.BASE_VARIABLE, raising=False)
    for release in download.RELEASES.values():
        assert download.address(release) == release.url
        assert release.url.startswith("https://")
