"""Fetching VGG weights from those who publish them: over HTTPS, cached, checked by hash before use.

The only place of the project that opens a connection. A download that is cut off leaves nothing behind and starts
anew the next time; a file in the cache is checked again before it is used.

Environment: ``NST_JAX_CACHE`` is the folder of downloaded files (else the platform's cache folder);
``NST_JAX_DOWNLOAD_BASE`` is the address of a mirror that has the same files (``BASE/FILE_NAME``). The hashes stay the
table's, so a mirror need not be trusted.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import platformdirs

from convert_weights.preprocessings import OXFORD_CREDIT, TORCHVISION_CREDIT
from nst_jax.errors import NSTError
from nst_jax.files import replacing

CACHE_VARIABLE = "NST_JAX_CACHE"
BASE_VARIABLE = "NST_JAX_DOWNLOAD_BASE"
_SECONDS = 30  # without a byte


@dataclasses.dataclass(frozen=True)
class Release:
    """One published file. ``hash`` is "md5:…" or "sha256:…", as its publisher gives it; ``size`` is in bytes."""

    url: str
    hash: str
    size: int
    licence: str

    @property
    def file_name(self) -> str:
        return self.url.rpartition("/")[2]


_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
_TORCH = "https://download.pytorch.org/models"
#: Keras publishes MD5, in keras.applications; torchvision's file names hold the first digits of their SHA-256.
RELEASES = {
    ("vgg19", "keras"): Release(
        f"{_KERAS}/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "md5:253f8cb515780f3b799900260a226db6",
        80_134_624,
        OXFORD_CREDIT,
    ),
    ("vgg16", "keras"): Release(
        f"{_KERAS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "md5:6d6bbae143d832006294945121d1f1fc",
        58_889_256,
        OXFORD_CREDIT,
    ),
    ("vgg19", "torchvision"): Release(
        f"{_TORCH}/vgg19-dcbb9e9d.pth",
        "sha256:dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        574_673_361,
        TORCHVISION_CREDIT,
    ),
    ("vgg16", "torchvision"): Release(
        f"{_TORCH}/vgg16-397923af.pth",
        "sha256:397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        553_433_881,
        TORCHVISION_CREDIT,
    ),
}


def cache_folder() -> Path:
    """Where downloaded files are kept: ``$NST_JAX_CACHE`` or the platform's cache folder.

    Raises NSTError for a user without a home folder who has not set it.
    """
    if override := os.environ.get(CACHE_VARIABLE):
        return Path(override)
    try:
        return Path(platformdirs.user_cache_dir("nst_jax", appauthor=False))
    except RuntimeError:
        raise NSTError(f"there is no home folder to keep downloads in: set {CACHE_VARIABLE} to a folder") from None


def address(release: Release) -> str:
    """Where a release is fetched from: its own address, or the mirror's."""
    base = os.environ.get(BASE_VARIABLE)
    return f"{base.rstrip('/')}/{release.file_name}" if base else release.url


def fetch(release: Release, progress: Any = False) -> Path:
    """The path of a release in the cache, fetched if it is not there.

    Args:
      release: a row of ``RELEASES``.
      progress: an object with ``total``, ``update(bytes)``, ``reset()`` and ``close()``, or False for none.

    Raises NSTError where it cannot be fetched or its hash is wrong, saying which file to fetch by hand.
    """
    import pooch  # imported here, and requests with it: only a download needs them
    import requests

    pooch.get_logger().setLevel("CRITICAL")
    folder = cache_folder()
    path = folder / release.file_name
    downloader = pooch.HTTPDownloader(progressbar=progress, timeout=_SECONDS)
    try:
        if not (path.is_file() and pooch.hashes.hash_matches(path, release.hash)):
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                downloader(address(release), str(temporary), None)
                pooch.hashes.hash_matches(temporary, release.hash, strict=True, source=release.file_name)
    except requests.HTTPError as error:
        raise NSTError(
            _by_hand(release, f"the server answers {getattr(error.response, 'status_code', 'with an error')}")
        ) from error
    except (requests.ConnectTimeout, requests.ReadTimeout) as error:
        raise NSTError(_by_hand(release, f"no answer within {_SECONDS} seconds")) from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise NSTError(_by_hand(release, "the connection was cut off")) from error
    except requests.RequestException as error:
        raise NSTError(_by_hand(release, "no connection to the server")) from error
    except OSError as error:
        raise NSTError(_by_hand(release, f"cannot write to {folder}: {error.strerror or error}")) from error
    except ValueError as error:
        raise NSTError(_by_hand(release, "what came has another hash than the one published")) from error
    return path


def _by_hand(release: Release, reason: str) -> str:
    return (
        f"cannot fetch {release.file_name}: {reason}; fetch {release.url} by hand and run python -m convert_weights"
        f" {release.file_name}"
    )
