"""How this process proves to the API server who it is, as `kubernetes.aio` finds it out.

Used by the client alone. In a pod the service account is used (its token file is read again every minute, as the
kubelet renews it); otherwise a kubeconfig, with everything that `kubernetes.aio` can do: client certificates, token
files, exec plug-ins, OIDC. What expires is loaded again when the API server answers 401.
"""

from __future__ import annotations

import logging
import os
import ssl
import time
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from mastercontrol.engine.ports import StoreUnavailable

_log = logging.getLogger(__name__)

_RELOAD_SECONDS: Final = 5.0
"""The shortest time between two reloads: a user who was removed must not run an exec plug-in at every request."""


class Credentials:
    """The API server's URL, TLS and the authorization header. Made by `load`."""

    def __init__(self, configuration: Configuration, kubeconfig: str | None, context: str | None) -> None:
        self._configuration = configuration
        self._source = (kubeconfig, context)
        self._reloaded_at: float | None = None
        rest = RESTClientObject(configuration)
        self.url: str = configuration.host.rstrip("/")
        self.tls: ssl.SSLContext = rest.ssl_context
        # Looked up once: aiohttp's trust_env would do it for every request, at twice the cost of a small one.
        self.proxy: str | None = rest.proxy or _environment_proxy(self.url)
        self.server_name: str | None = configuration.tls_server_name

    @classmethod
    async def load(cls, kubeconfig: str | None = None, context: str | None = None) -> Credentials:
        """From the kubeconfig file and context that are named, else from the pod, else from the default kubeconfig.

        :raises StoreUnavailable: there is none, or it cannot be read.
        """
        return cls(await _configuration(kubeconfig, context), kubeconfig, context)

    async def headers(self) -> dict[str, str]:
        """The authorization header; empty when a client certificate speaks for itself.

        :raises StoreUnavailable: the token cannot be read now.
        """
        try:
            settings: Any = await self._configuration.auth_settings()
        except (ConfigException, OSError) as error:
            raise StoreUnavailable(f"the token cannot be read: {error}") from error
        return {s["key"]: s["value"] for s in settings.values() if s["value"]}

    async def reload(self) -> bool:
        """Load the source again after a 401; True when it gave a header that has not been tried."""
        now = time.monotonic()
        if self._reloaded_at is not None and now - self._reloaded_at < _RELOAD_SECONDS:
            return False
        self._reloaded_at = now
        before = await self.headers()
        self._configuration = await _configuration(*self._source)
        changed = await self.headers() != before
        _log.warning("The API server refused the credentials (401); loaded them again: %s", _outcome(changed=changed))
        return changed


def _environment_proxy(url: str) -> str | None:
    """The proxy that HTTPS_PROXY and NO_PROXY ask for."""
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)


def _outcome(*, changed: bool) -> str:
    return "they are new" if changed else "they are the same"


async def _configuration(kubeconfig: str | None, context: str | None) -> Configuration:
    configuration = Configuration()
    try:
        if kubeconfig is None and context is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            # Never written back: a person's kubeconfig is not ours to change.
            options: dict[str, Any] = {"client_configuration": configuration, "persist_config": False}
            await load_kube_config(kubeconfig, context, **options)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError) as error:
        raise StoreUnavailable(f"no way to the API server: {error}") from error
    return configuration
