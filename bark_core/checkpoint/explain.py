"""What went wrong with a download, as a sentence that says what to do; and whether asking again may help.

Knows the hub's answers, its client's exceptions and the environment that they depend on. Downloads nothing itself.
"""

from __future__ import annotations

import errno
import os
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from bark_core.checkpoint.registry import Release
from bark_core.errors import CheckpointError

TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
"""Where the hub's client looks for an access token before it looks into its file."""

MAX_QUOTED = 200
"""Characters of somebody else's message."""


class FetchError(CheckpointError):
    """A file that could not be downloaded."""


def is_transient(error: Exception) -> bool:
    """Tell whether asking again may help: the connection failed, or the hub had a bad moment, or the file came too short."""
    from huggingface_hub.errors import EntryNotFoundError, FileMetadataError, HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, HfHubHTTPError):
        return _status(error) >= 500 or _status(error) == 429
    if isinstance(error, (EntryNotFoundError, FileMetadataError, OfflineModeIsEnabled, ValueError)) or _is_proxys(error):
        return False
    return not (isinstance(error, OSError) and error.errno is not None) or isinstance(error, (ConnectionError, TimeoutError))


def explain(error: Exception, release: Release, path: str) -> FetchError:
    """Return the sentence for what went wrong with a download."""
    from huggingface_hub import constants
    from huggingface_hub.errors import EntryNotFoundError, FileMetadataError, HfHubHTTPError, LocalEntryNotFoundError

    if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
        where = f"{release.repository} at {constants.ENDPOINT}"
        return FetchError(f"{where} has no file {path} in its revision {release.revision} (404); check registry.toml and HF_ENDPOINT.")
    if _is_proxys(error):
        return FetchError(_explain_proxy(constants.ENDPOINT))
    if isinstance(error, FileMetadataError):
        return FetchError(
            f"{constants.ENDPOINT} answers {path} with something that no model hub sends; a network's sign-in page or a proxy may stand in "
            "between. Sign in to the network, or check HF_ENDPOINT, and fetch again."
        )
    if isinstance(error, HfHubHTTPError) and not isinstance(error, LocalEntryNotFoundError):
        return FetchError(_explain_answer(error, release, path))
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FetchError(f"The disk of {constants.HF_HUB_CACHE} is full: {path} did not fit. Make room, or name another disk's folder in HF_HOME.")
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
        return FetchError(f"{constants.HF_HUB_CACHE} cannot be written ({error.strerror}); name a writable folder in HF_HOME.")
    return no_copy(release, f"{constants.ENDPOINT} could not be reached, or the connection broke, at {path} ({_quote(error)})")


def no_copy(release: Release, why: str) -> FetchError:
    """Return the sentence for a model that is not here and cannot be fetched."""
    return FetchError(
        f"The model {release.name} is not here, and {why}. Run `python -m bark_core fetch {release.name}` with a network, "
        f"or copy weights/{release.name} from a machine that has it; the model demo needs neither."
    )


def _explain_answer(error: Any, release: Release, path: str) -> str:
    """Return the sentence for a status that the hub answered with."""
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    where, status = f"{release.repository} at {constants.ENDPOINT}", _status(error)
    token = _describe_token() if "authorization" in error.response.request.headers else None
    if isinstance(error, GatedRepoError):
        held = f"{token} has no access to it: " if token else ""
        return (
            f"{where} is gated ({status}): {held}accept its terms at {constants.ENDPOINT}/{release.repository}, then set HF_TOKEN to a token of "
            "the account that did."
        )
    if status == 401 and token:
        return (
            f"{constants.ENDPOINT} does not accept {token} (401). Renew it, or unset it (`hf auth logout` deletes a file's): "
            "a public repository needs none."
        )
    if status == 401:
        return f"{where} asks for an access token (401): it is private, or there is no such repository. Check registry.toml, or set HF_TOKEN to a token."
    if isinstance(error, (RepositoryNotFoundError, RevisionNotFoundError)):
        return f"{where} has no revision {release.revision}, or there is no such repository ({status}); check registry.toml and HF_ENDPOINT."
    if status == 403:
        held = f"whether {token} may read it, and " if token else ""
        return f"{where} refuses to send {path} (403). Check {held}whether a proxy or a firewall stands in between."
    return f"{where} answered with an error for {path}: {_quote(error)}. Try again later."


def _describe_token() -> str:
    """Return where the access token comes from that is sent to the hub."""
    from huggingface_hub import constants

    variable = next((name for name in TOKEN_VARIABLES if os.environ.get(name)), None)
    return f"the access token in {variable or constants.HF_TOKEN_PATH}"


def _is_proxys(error: Exception) -> bool:
    """Tell whether a proxy asks for a password: by an answer, or, on the way to an https address, by an exception of the HTTP package."""
    return _status(error) == 407 or (type(error).__name__ == "ProxyError" and "407" in str(error))


def _explain_proxy(endpoint: str) -> str:
    scheme = urlsplit(endpoint).scheme
    variables = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    variable = next((name for name in variables if os.environ.get(name)), None)
    proxies = getproxies()
    proxy = urlsplit(proxies.get(scheme) or proxies.get("all") or "")
    # Without the password that may be in it.
    name = f"The proxy {proxy.scheme}://{proxy.netloc.rpartition('@')[2]}" if proxy.netloc else "A proxy"
    asks = "does not accept the name and password in its address" if "@" in proxy.netloc else "asks for a name and a password"
    return (
        f"{name}{f', named in {variable},' if variable else ''} {asks} (407). "
        f"Set {variable or f'{scheme}_proxy'.upper()} to http://NAME:PASSWORD@HOST:PORT, or unset it where no proxy is needed."
    )


def _status(error: Exception) -> int:
    """Return the status of the answer that an exception stands for, or 0."""
    return int(getattr(getattr(error, "response", None), "status_code", 0) or 0)


def _quote(error: Exception) -> str:
    """Return the first line of somebody else's message."""
    line = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
    return line if len(line) <= MAX_QUOTED else f"{line[:MAX_QUOTED]} …"
