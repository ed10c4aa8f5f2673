"""The device management service (ONVIF Core specification, chapter 8)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from xml.sax.saxutils import escape

from deploy.virtual_camera.about import About, Handlers
from deploy.virtual_camera.soap import DEVICE_NS, EVENTS_NS, MEDIA2_NS, MEDIA_NS, Call

_US = 1_000_000


class DeviceService:
    """Identity, clock, network, services."""

    def __init__(self, about: About) -> None:
        self._about = about

    def handlers(self) -> Handlers:
        """What answers which operation."""
        return {
            (DEVICE_NS, "GetSystemDateAndTime"): self._date_and_time,
            (DEVICE_NS, "GetDeviceInformation"): self._information,
            (DEVICE_NS, "GetServices"): self._services,
            (DEVICE_NS, "GetServiceCapabilities"): self._device_capabilities,
            (DEVICE_NS, "GetCapabilities"): self._capabilities,
            (DEVICE_NS, "GetScopes"): self._scopes,
            (DEVICE_NS, "GetHostname"): self._hostname,
            (DEVICE_NS, "GetNetworkInterfaces"): self._network_interfaces,
            (DEVICE_NS, "GetNetworkDefaultGateway"): self._gateway,
            (DEVICE_NS, "GetNetworkProtocols"): self._network_protocols,
            (DEVICE_NS, "GetDNS"): self._dns,
            (DEVICE_NS, "GetNTP"): self._ntp,
            (DEVICE_NS, "GetUsers"): self._users,
            (DEVICE_NS, "GetEndpointReference"): self._endpoint,
            (DEVICE_NS, "SetSystemDateAndTime"): self._set_time,
        }

    def _date_and_time(self, call: Call) -> str:
        del call
        utc = datetime.fromtimestamp(self._about.accounts.now_us() // _US, UTC)
        local = utc + timedelta(hours=8)
        return (
            "<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime><tt:DateTimeType>NTP</tt:DateTimeType>"
            "<tt:DaylightSavings>false</tt:DaylightSavings><tt:TimeZone><tt:TZ>CST-8</tt:TZ></tt:TimeZone>"
            f"<tt:UTCDateTime>{_moment(utc)}</tt:UTCDateTime><tt:LocalDateTime>{_moment(local)}</tt:LocalDateTime>"
            "</tds:SystemDateAndTime></tds:GetSystemDateAndTimeResponse>"
        )

    def _set_time(self, call: Call) -> str:
        if call.text("DateTimeType") == "Manual":
            names = ("Year", "Month", "Day", "Hour", "Minute", "Second")
            year, month, day, hour, minute, second = (int(call.text(name)) for name in names)
            moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
            self._about.accounts.offset_us = round(moment.timestamp() * _US) - self._about.accounts.clock.now_us()
        return "<tds:SetSystemDateAndTimeResponse/>"

    def _information(self, call: Call) -> str:
        del call
        device = self._about.device
        return (
            f"<tds:GetDeviceInformationResponse><tds:Manufacturer>{escape(device.manufacturer)}</tds:Manufacturer>"
            f"<tds:Model>{escape(device.model)}</tds:Model>"
            f"<tds:FirmwareVersion>{escape(device.firmware)}</tds:FirmwareVersion>"
            f"<tds:SerialNumber>{device.serial}</tds:SerialNumber><tds:HardwareId>1.0</tds:HardwareId>"
            "</tds:GetDeviceInformationResponse>"
        )

    def _service_list(self) -> list[tuple[str, str, int, int]]:
        found = [(DEVICE_NS, "device", 22, 12), (MEDIA_NS, "media", 21, 12), (EVENTS_NS, "events", 22, 6)]
        if self._about.device.oddities.media2:
            found.insert(1, (MEDIA2_NS, "media2", 22, 12))
        return found

    def _services(self, call: Call) -> str:
        del call
        services = "".join(
            f"<tds:Service><tds:Namespace>{namespace}</tds:Namespace><tds:XAddr>{self._about.xaddr(name)}</tds:XAddr>"
            f"<tds:Version><tt:Major>{major}</tt:Major><tt:Minor>{minor}</tt:Minor></tds:Version></tds:Service>"
            for namespace, name, major, minor in self._service_list()
        )
        return f"<tds:GetServicesResponse>{services}</tds:GetServicesResponse>"

    def _device_capabilities(self, call: Call) -> str:
        del call
        return (
            '<tds:GetServiceCapabilitiesResponse><tds:Capabilities><tds:Network NTP="1"/>'
            '<tds:Security HttpDigest="true" UsernameToken="true"/><tds:System DiscoveryBye="false"/>'
            "</tds:Capabilities></tds:GetServiceCapabilitiesResponse>"
        )

    def _capabilities(self, call: Call) -> str:
        del call
        return (
            f"<tds:GetCapabilitiesResponse><tds:Capabilities><tt:Device><tt:XAddr>{self._about.xaddr('device')}</tt:XAddr></tt:Device>"
            f"<tt:Events><tt:XAddr>{self._about.xaddr('events')}</tt:XAddr>"
            "<tt:WSSubscriptionPolicySupport>false</tt:WSSubscriptionPolicySupport>"
            "<tt:WSPullPointSupport>true</tt:WSPullPointSupport>"
            "<tt:WSPausableSubscriptionManagerInterfaceSupport>false</tt:WSPausableSubscriptionManagerInterfaceSupport>"
            f"</tt:Events><tt:Media><tt:XAddr>{self._about.xaddr('media')}</tt:XAddr><tt:StreamingCapabilities>"
            "<tt:RTPMulticast>false</tt:RTPMulticast><tt:RTP_TCP>true</tt:RTP_TCP><tt:RTP_RTSP_TCP>true</tt:RTP_RTSP_TCP>"
            "</tt:StreamingCapabilities></tt:Media></tds:Capabilities></tds:GetCapabilitiesResponse>"
        )

    def _scopes(self, call: Call) -> str:
        del call
        items = "".join(
            f"<tds:Scopes><tt:ScopeDef>Fixed</tt:ScopeDef><tt:ScopeItem>{scope}</tt:ScopeItem></tds:Scopes>"
            for scope in self._about.scopes()
        )
        return f"<tds:GetScopesResponse>{items}</tds:GetScopesResponse>"

    def _hostname(self, call: Call) -> str:
        del call
        return (
            "<tds:GetHostnameResponse><tds:HostnameInformation><tt:FromDHCP>false</tt:FromDHCP>"
            f"<tt:Name>{self._about.device.serial.lower()}</tt:Name></tds:HostnameInformation></tds:GetHostnameResponse>"
        )

    def _network_interfaces(self, call: Call) -> str:
        del call
        host = self._about.addresses()[0]
        return (
            '<tds:GetNetworkInterfacesResponse><tds:NetworkInterfaces token="eth0"><tt:Enabled>true</tt:Enabled>'
            f"<tt:Info><tt:Name>eth0</tt:Name><tt:HwAddress>{self._about.device.mac}</tt:HwAddress><tt:MTU>1500</tt:MTU></tt:Info>"
            "<tt:IPv4><tt:Enabled>true</tt:Enabled><tt:Config><tt:Manual>"
            f"<tt:Address>{host}</tt:Address><tt:PrefixLength>8</tt:PrefixLength></tt:Manual><tt:DHCP>false</tt:DHCP>"
            "</tt:Config></tt:IPv4></tds:NetworkInterfaces></tds:GetNetworkInterfacesResponse>"
        )

    def _gateway(self, call: Call) -> str:
        del call
        return (
            "<tds:GetNetworkDefaultGatewayResponse><tds:NetworkGateway><tt:IPv4Address>127.0.0.1</tt:IPv4Address>"
            "</tds:NetworkGateway></tds:GetNetworkDefaultGatewayResponse>"
        )

    def _network_protocols(self, call: Call) -> str:
        del call
        _, onvif_port, rtsp_port = self._about.addresses()
        items = "".join(
            f"<tds:NetworkProtocols><tt:Name>{name}</tt:Name><tt:Enabled>true</tt:Enabled><tt:Port>{port}</tt:Port>"
            "</tds:NetworkProtocols>"
            for name, port in (("HTTP", onvif_port), ("RTSP", rtsp_port))
        )
        return f"<tds:GetNetworkProtocolsResponse>{items}</tds:GetNetworkProtocolsResponse>"

    def _dns(self, call: Call) -> str:
        del call
        return (
            "<tds:GetDNSResponse><tds:DNSInformation><tt:FromDHCP>false</tt:FromDHCP><tt:DNSManual><tt:Type>IPv4</tt:Type>"
            "<tt:IPv4Address>127.0.0.1</tt:IPv4Address></tt:DNSManual></tds:DNSInformation></tds:GetDNSResponse>"
        )

    def _ntp(self, call: Call) -> str:
        del call
        return (
            "<tds:GetNTPResponse><tds:NTPInformation><tt:FromDHCP>false</tt:FromDHCP><tt:NTPManual><tt:Type>IPv4</tt:Type>"
            "<tt:IPv4Address>127.0.0.1</tt:IPv4Address></tt:NTPManual></tds:NTPInformation></tds:GetNTPResponse>"
        )

    def _users(self, call: Call) -> str:
        del call
        name = f"<tt:Username>{escape(self._about.accounts.username)}</tt:Username>"
        user = f"<tds:User>{name}<tt:UserLevel>Administrator</tt:UserLevel></tds:User>"
        return f"<tds:GetUsersResponse>{user}</tds:GetUsersResponse>"

    def _endpoint(self, call: Call) -> str:
        del call
        guid = f"<tds:GUID>{self._about.device.endpoint}</tds:GUID>"
        return f"<tds:GetEndpointReferenceResponse>{guid}</tds:GetEndpointReferenceResponse>"


def _moment(moment: datetime) -> str:
    time = (
        f"<tt:Hour>{moment.hour}</tt:Hour><tt:Minute>{moment.minute}</tt:Minute><tt:Second>{moment.second}</tt:Second>"
    )
    date = f"<tt:Year>{moment.year}</tt:Year><tt:Month>{moment.month}</tt:Month><tt:Day>{moment.day}</tt:Day>"
    return f"<tt:Time>{time}</tt:Time><tt:Date>{date}</tt:Date>"
