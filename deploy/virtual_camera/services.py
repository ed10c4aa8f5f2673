"""All ONVIF services of one virtual device behind one call."""

from __future__ import annotations

from deploy.virtual_camera.about import About, Handlers
from deploy.virtual_camera.device_service import DeviceService
from deploy.virtual_camera.event_service import EventService
from deploy.virtual_camera.media_service import Media2Service, MediaService
from deploy.virtual_camera.soap import Call, SoapFault

_BEFORE_LOGIN = frozenset(
    {"GetSystemDateAndTime", "GetServices", "GetCapabilities", "GetServiceCapabilities", "GetHostname", "GetWsdlUrl"}
)


class OnvifServices:
    """Finds the handler of a call, and says which calls need a login."""

    def __init__(self, about: About) -> None:
        self.about = about
        self._handlers: Handlers = DeviceService(about).handlers()
        self._handlers |= MediaService(about).handlers() | EventService(about).handlers()
        if about.device.oddities.media2:
            self._handlers |= Media2Service(about).handlers()

    def operations(self) -> list[tuple[str, str]]:
        """Namespace and name of everything the device can do."""
        return list(self._handlers)

    def needs_login(self, call: Call) -> bool:
        """Whether the operation is refused to strangers (Core specification, access class PRE_AUTH)."""
        if call.operation == "GetSystemDateAndTime" and self.about.device.oddities.clock_needs_password:
            return True
        return call.operation not in _BEFORE_LOGIN

    def answer(self, call: Call) -> str:
        """The response element.

        Raises:
            SoapFault: the operation is not supported or its arguments are wrong.
        """
        handler = self._handlers.get((call.namespace, call.operation))
        if handler is None:
            raise SoapFault("Receiver", ("ter:ActionNotSupported",), f"{call.operation} is not supported")
        return handler(call)
