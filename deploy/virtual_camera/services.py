"""What the ONVIF services of a virtual device answer. Texts follow the ONVIF Core, Media and Media2 specifications."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from xml.sax.saxutils import escape

from deploy.virtual_camera.accounts import Accounts
from deploy.virtual_camera.plan import ChannelPlan, DevicePlan, StreamPlan
from deploy.virtual_camera.soap import (
    DEVICE_NS,
    EVENTS_NS,
    MEDIA2_NS,
    MEDIA_NS,
    NOTIFICATION_NS,
    Call,
    SoapFault,
)

_US = 1_000_000
FOREIGN_HOST = "192.0.2.64"
"""The host that a device with a wrong XAddr names (TEST-NET-1: never answers)."""

_BEFORE_LOGIN = frozenset(
    {"GetSystemDateAndTime", "GetServices", "GetCapabilities", "GetServiceCapabilities", "GetHostname", "GetWsdlUrl"}
)
_MULTICAST = (
    "<tt:Multicast><tt:Address><tt:Type>IPv4</tt:Type><tt:IPv4Address>0.0.0.0</tt:IPv4Address></tt:Address>"
    "<tt:Port>0</tt:Port><tt:TTL>0</tt:TTL><tt:AutoStart>false</tt:AutoStart></tt:Multicast>"
)


@dataclass(frozen=True, slots=True)
class Profile:
    """A media profile: one stream of one channel, or an empty one."""

    token: str
    name: str
    channel: int
    plan: ChannelPlan
    stream: StreamPlan | None

    @property
    def source(self) -> str:
        """The video source's token."""
        return f"vs{self.channel}"


def profiles(device: DevicePlan) -> list[Profile]:
    """All profiles, main before sub, channel by channel."""
    found = []
    for number, channel in enumerate(device.channels, start=1):
        found.append(Profile(f"ch{number}_main", "mainStream", number, channel, channel.main))
        if channel.sub is not None:
            found.append(Profile(f"ch{number}_sub", "subStream", number, channel, channel.sub))
        if device.oddities.empty_profile:
            found.insert(0, Profile(f"ch{number}_none", "empty", number, channel, None))
    return found


def stream_path(token: str) -> str:
    """The RTSP path of a profile's stream."""
    return f"/stream/{token}"


@dataclass
class OnvifServices:
    """The services of one device. `addresses` gives (host, ONVIF port, RTSP port) as the device believes them to be."""

    device: DevicePlan
    accounts: Accounts
    addresses: Callable[[], tuple[str, int, int]]
    pull_points: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._handlers: dict[tuple[str, str], Callable[[Call], str]] = {
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
            (MEDIA_NS, "GetProfiles"): self._media1_profiles,
            (MEDIA_NS, "GetProfile"): self._media1_profile,
            (MEDIA_NS, "GetVideoSources"): self._video_sources,
            (MEDIA_NS, "GetVideoSourceConfigurations"): self._media1_sources,
            (MEDIA_NS, "GetVideoEncoderConfigurations"): self._media1_encoders,
            (MEDIA_NS, "GetVideoEncoderConfiguration"): self._media1_encoder,
            (MEDIA_NS, "GetVideoEncoderConfigurationOptions"): self._media1_options,
            (MEDIA_NS, "GetStreamUri"): self._media1_stream,
            (MEDIA_NS, "GetSnapshotUri"): self._media1_snapshot,
            (MEDIA_NS, "GetServiceCapabilities"): self._media1_capabilities,
            (EVENTS_NS, "GetServiceCapabilities"): self._event_capabilities,
            (EVENTS_NS, "GetEventProperties"): self._event_properties,
            (EVENTS_NS, "CreatePullPointSubscription"): self._create_pull_point,
            (EVENTS_NS, "PullMessages"): self._pull_messages,
            (EVENTS_NS, "SetSynchronizationPoint"): self._synchronise,
            (NOTIFICATION_NS, "Renew"): self._renew,
            (NOTIFICATION_NS, "Unsubscribe"): self._unsubscribe,
        }
        if self.device.oddities.media2:
            self._handlers |= {
                (MEDIA2_NS, "GetProfiles"): self._media2_profiles,
                (MEDIA2_NS, "GetStreamUri"): self._media2_stream,
                (MEDIA2_NS, "GetSnapshotUri"): self._media2_snapshot,
                (MEDIA2_NS, "GetVideoSourceConfigurations"): self._media2_sources,
                (MEDIA2_NS, "GetVideoEncoderConfigurations"): self._media2_encoders,
                (MEDIA2_NS, "GetServiceCapabilities"): self._media2_capabilities,
            }

    def operations(self) -> list[tuple[str, str]]:
        """Namespace and name of everything the device can do."""
        return list(self._handlers)

    def needs_login(self, call: Call) -> bool:
        """Whether the operation is refused to strangers (Core specification, access class PRE_AUTH)."""
        if call.operation == "GetSystemDateAndTime" and self.device.oddities.clock_needs_password:
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

    # Addresses

    def xaddr(self, service: str) -> str:
        """Where the device says that a service is."""
        host, port, _ = self.addresses()
        if self.device.oddities.foreign_xaddr:
            host, port = FOREIGN_HOST, 80
        return f"http://{host}:{port}/onvif/{service}_service"

    def _stream_uri(self, token: str) -> str:
        host, _, port = self.addresses()
        host = FOREIGN_HOST if self.device.oddities.foreign_xaddr else host
        return f"rtsp://{host}:{port}{stream_path(self._profile(token).token)}"

    def _snapshot_uri(self, token: str) -> str:
        host, port, _ = self.addresses()
        return f"http://{host}:{port}/onvif/snapshot/{quote(self._profile(token).token)}"

    def _profile(self, token: str) -> Profile:
        for profile in profiles(self.device):
            if profile.token == token and profile.stream is not None:
                return profile
        raise SoapFault("Sender", ("ter:InvalidArgVal", "ter:NoProfile"), "no such profile")

    # Device service

    def _date_and_time(self, call: Call) -> str:
        del call
        utc = datetime.fromtimestamp(self.accounts.now_us() // _US, UTC)
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
            self.accounts.offset_us = round(moment.timestamp() * _US) - self.accounts.clock.now_us()
        return "<tds:SetSystemDateAndTimeResponse/>"

    def _information(self, call: Call) -> str:
        del call
        device = self.device
        return (
            f"<tds:GetDeviceInformationResponse><tds:Manufacturer>{escape(device.manufacturer)}</tds:Manufacturer>"
            f"<tds:Model>{escape(device.model)}</tds:Model>"
            f"<tds:FirmwareVersion>{escape(device.firmware)}</tds:FirmwareVersion>"
            f"<tds:SerialNumber>{device.serial}</tds:SerialNumber><tds:HardwareId>1.0</tds:HardwareId>"
            "</tds:GetDeviceInformationResponse>"
        )

    def _service_list(self) -> list[tuple[str, str, int, int]]:
        found = [(DEVICE_NS, "device", 22, 12), (MEDIA_NS, "media", 21, 12), (EVENTS_NS, "events", 22, 6)]
        if self.device.oddities.media2:
            found.insert(1, (MEDIA2_NS, "media2", 22, 12))
        return found

    def _services(self, call: Call) -> str:
        del call
        services = "".join(
            f"<tds:Service><tds:Namespace>{namespace}</tds:Namespace><tds:XAddr>{self.xaddr(name)}</tds:XAddr>"
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
            f"<tds:GetCapabilitiesResponse><tds:Capabilities><tt:Device><tt:XAddr>{self.xaddr('device')}</tt:XAddr></tt:Device>"
            f"<tt:Events><tt:XAddr>{self.xaddr('events')}</tt:XAddr>"
            "<tt:WSSubscriptionPolicySupport>false</tt:WSSubscriptionPolicySupport>"
            "<tt:WSPullPointSupport>true</tt:WSPullPointSupport>"
            "<tt:WSPausableSubscriptionManagerInterfaceSupport>false</tt:WSPausableSubscriptionManagerInterfaceSupport>"
            f"</tt:Events><tt:Media><tt:XAddr>{self.xaddr('media')}</tt:XAddr><tt:StreamingCapabilities>"
            "<tt:RTPMulticast>false</tt:RTPMulticast><tt:RTP_TCP>true</tt:RTP_TCP><tt:RTP_RTSP_TCP>true</tt:RTP_RTSP_TCP>"
            "</tt:StreamingCapabilities></tt:Media></tds:Capabilities></tds:GetCapabilitiesResponse>"
        )

    def scopes(self) -> list[str]:
        """The device's scopes, as WS-Discovery and GetScopes give them."""
        base = "onvif://www.onvif.org"
        return [
            f"{base}/type/video_encoder",
            f"{base}/Profile/Streaming",
            f"{base}/Profile/T",
            f"{base}/name/{quote(self.device.name)}",
            f"{base}/hardware/{quote(self.device.model)}",
            f"{base}/location/hall",
            f"{base}/serial/{self.device.serial}",
        ]

    def _scopes(self, call: Call) -> str:
        del call
        items = "".join(
            f"<tds:Scopes><tt:ScopeDef>Fixed</tt:ScopeDef><tt:ScopeItem>{scope}</tt:ScopeItem></tds:Scopes>"
            for scope in self.scopes()
        )
        return f"<tds:GetScopesResponse>{items}</tds:GetScopesResponse>"

    def _hostname(self, call: Call) -> str:
        del call
        return (
            "<tds:GetHostnameResponse><tds:HostnameInformation><tt:FromDHCP>false</tt:FromDHCP>"
            f"<tt:Name>{self.device.serial.lower()}</tt:Name></tds:HostnameInformation></tds:GetHostnameResponse>"
        )

    def _network_interfaces(self, call: Call) -> str:
        del call
        host = self.addresses()[0]
        return (
            '<tds:GetNetworkInterfacesResponse><tds:NetworkInterfaces token="eth0"><tt:Enabled>true</tt:Enabled>'
            f"<tt:Info><tt:Name>eth0</tt:Name><tt:HwAddress>{self.device.mac}</tt:HwAddress><tt:MTU>1500</tt:MTU></tt:Info>"
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
        _, onvif_port, rtsp_port = self.addresses()
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
        user = f"<tt:Username>{escape(self.accounts.username)}</tt:Username><tt:UserLevel>Administrator</tt:UserLevel>"
        return f"<tds:GetUsersResponse><tds:User>{user}</tds:User></tds:GetUsersResponse>"

    def _endpoint(self, call: Call) -> str:
        del call
        guid = f"<tds:GUID>{self.device.endpoint}</tds:GUID>"
        return f"<tds:GetEndpointReferenceResponse>{guid}</tds:GetEndpointReferenceResponse>"

    # Media (version 1)

    def _media1_profiles(self, call: Call) -> str:
        del call
        items = "".join(self._media1_profile_text("trt:Profiles", profile) for profile in profiles(self.device))
        return f"<trt:GetProfilesResponse>{items}</trt:GetProfilesResponse>"

    def _media1_profile(self, call: Call) -> str:
        text = self._media1_profile_text("trt:Profile", self._profile(call.text("ProfileToken")))
        return f"<trt:GetProfileResponse>{text}</trt:GetProfileResponse>"

    def _media1_profile_text(self, tag: str, profile: Profile) -> str:
        source = _source_configuration("tt:VideoSourceConfiguration", profile)
        encoder = ""
        hidden = profile.stream and profile.stream.shape.codec == "h265" and self.device.oddities.hide_h265
        if profile.stream is not None and not hidden:
            encoder = _encoder1("tt:VideoEncoderConfiguration", profile, profile.stream)
        name = f"<tt:Name>{profile.name}</tt:Name>"
        return f'<{tag} token="{profile.token}" fixed="true">{name}{source}{encoder}</{tag}>'

    def _with_stream(self) -> Iterator[tuple[Profile, StreamPlan]]:
        for profile in profiles(self.device):
            if profile.stream is not None:
                yield profile, profile.stream

    def _video_sources(self, call: Call) -> str:
        del call
        items = ""
        for number, channel in enumerate(self.device.channels, start=1):
            shape = channel.main.shape
            size = f"<tt:Width>{shape.width}</tt:Width><tt:Height>{shape.height}</tt:Height>"
            items += (
                f'<trt:VideoSources token="vs{number}"><tt:Framerate>{shape.fps}</tt:Framerate>'
                f"<tt:Resolution>{size}</tt:Resolution></trt:VideoSources>"
            )
        return f"<trt:GetVideoSourcesResponse>{items}</trt:GetVideoSourcesResponse>"

    def _mains(self) -> Iterator[Profile]:
        return (profile for profile in profiles(self.device) if profile.token.endswith("_main"))

    def _media1_sources(self, call: Call) -> str:
        del call
        items = "".join(_source_configuration("trt:Configurations", profile) for profile in self._mains())
        return f"<trt:GetVideoSourceConfigurationsResponse>{items}</trt:GetVideoSourceConfigurationsResponse>"

    def _media1_encoders(self, call: Call) -> str:
        del call
        items = "".join(_encoder1("trt:Configurations", profile, stream) for profile, stream in self._with_stream())
        return f"<trt:GetVideoEncoderConfigurationsResponse>{items}</trt:GetVideoEncoderConfigurationsResponse>"

    def _media1_encoder(self, call: Call) -> str:
        token = call.text("ConfigurationToken")
        for profile, stream in self._with_stream():
            if f"ve_{profile.token}" == token:
                text = _encoder1("trt:Configuration", profile, stream)
                return f"<trt:GetVideoEncoderConfigurationResponse>{text}</trt:GetVideoEncoderConfigurationResponse>"
        raise SoapFault("Sender", ("ter:InvalidArgVal", "ter:NoConfig"), "no such configuration")

    def _media1_options(self, call: Call) -> str:
        profile = next(iter(self._with_stream()))[0]
        token = call.text("ProfileToken") or call.text("ConfigurationToken").removeprefix("ve_")
        shape = (self._profile(token).stream if token else profile.stream or profile.plan.main) or profile.plan.main
        size = f"<tt:Width>{shape.shape.width}</tt:Width><tt:Height>{shape.shape.height}</tt:Height>"
        ranges = "".join(
            f"<tt:{name}><tt:Min>{low}</tt:Min><tt:Max>{high}</tt:Max></tt:{name}>"
            for name, low, high in (
                ("GovLengthRange", shape.shape.gop, shape.shape.gop),
                ("FrameRateRange", shape.shape.fps, shape.shape.fps),
                ("EncodingIntervalRange", 1, 1),
            )
        )
        return (
            "<trt:GetVideoEncoderConfigurationOptionsResponse><trt:Options>"
            "<tt:QualityRange><tt:Min>1</tt:Min><tt:Max>6</tt:Max></tt:QualityRange>"
            f"<tt:H264><tt:ResolutionsAvailable>{size}</tt:ResolutionsAvailable>{ranges}"
            "<tt:H264ProfilesSupported>Main</tt:H264ProfilesSupported></tt:H264>"
            "</trt:Options></trt:GetVideoEncoderConfigurationOptionsResponse>"
        )

    def _media1_stream(self, call: Call) -> str:
        uri = self._stream_uri(call.text("ProfileToken"))
        return f"<trt:GetStreamUriResponse>{_media_uri(uri)}</trt:GetStreamUriResponse>"

    def _media1_snapshot(self, call: Call) -> str:
        uri = self._snapshot_uri(call.text("ProfileToken"))
        return f"<trt:GetSnapshotUriResponse>{_media_uri(uri)}</trt:GetSnapshotUriResponse>"

    def _media1_capabilities(self, call: Call) -> str:
        del call
        return (
            '<trt:GetServiceCapabilitiesResponse><trt:Capabilities SnapshotUri="true" Rotation="false">'
            f'<trt:ProfileCapabilities MaximumNumberOfProfiles="{len(profiles(self.device))}"/>'
            '<trt:StreamingCapabilities RTPMulticast="false" RTP_TCP="true" RTP_RTSP_TCP="true"/>'
            "</trt:Capabilities></trt:GetServiceCapabilitiesResponse>"
        )

    # Media2

    def _media2_profiles(self, call: Call) -> str:
        del call
        items = ""
        for profile in profiles(self.device):
            source = _source_configuration("tr2:VideoSource", profile)
            encoder = _encoder2("tr2:VideoEncoder", profile, profile.stream) if profile.stream is not None else ""
            parts = f"<tr2:Configurations>{source}{encoder}</tr2:Configurations>"
            name = f"<tr2:Name>{profile.name}</tr2:Name>"
            items += f'<tr2:Profiles token="{profile.token}" fixed="true">{name}{parts}</tr2:Profiles>'
        return f"<tr2:GetProfilesResponse>{items}</tr2:GetProfilesResponse>"

    def _media2_stream(self, call: Call) -> str:
        uri = escape(self._stream_uri(call.text("ProfileToken")))
        return f"<tr2:GetStreamUriResponse><tr2:Uri>{uri}</tr2:Uri></tr2:GetStreamUriResponse>"

    def _media2_snapshot(self, call: Call) -> str:
        uri = escape(self._snapshot_uri(call.text("ProfileToken")))
        return f"<tr2:GetSnapshotUriResponse><tr2:Uri>{uri}</tr2:Uri></tr2:GetSnapshotUriResponse>"

    def _media2_sources(self, call: Call) -> str:
        del call
        items = "".join(_source_configuration("tr2:Configurations", profile) for profile in self._mains())
        return f"<tr2:GetVideoSourceConfigurationsResponse>{items}</tr2:GetVideoSourceConfigurationsResponse>"

    def _media2_encoders(self, call: Call) -> str:
        del call
        items = "".join(_encoder2("tr2:Configurations", profile, stream) for profile, stream in self._with_stream())
        return f"<tr2:GetVideoEncoderConfigurationsResponse>{items}</tr2:GetVideoEncoderConfigurationsResponse>"

    def _media2_capabilities(self, call: Call) -> str:
        del call
        return (
            '<tr2:GetServiceCapabilitiesResponse><tr2:Capabilities SnapshotUri="true">'
            f'<tr2:ProfileCapabilities MaximumNumberOfProfiles="{len(profiles(self.device))}"/>'
            '<tr2:StreamingCapabilities RTSPStreaming="true" RTPMulticast="false" RTP_RTSP_TCP="true"/>'
            "</tr2:Capabilities></tr2:GetServiceCapabilitiesResponse>"
        )

    # Events: a pull point that never has anything to tell

    def _event_capabilities(self, call: Call) -> str:
        del call
        return (
            "<tev:GetServiceCapabilitiesResponse>"
            '<tev:Capabilities WSSubscriptionPolicySupport="false" MaxPullPoints="4"/>'
            "</tev:GetServiceCapabilitiesResponse>"
        )

    def _event_properties(self, call: Call) -> str:
        del call
        return (
            "<tev:GetEventPropertiesResponse>"
            "<tev:TopicNamespaceLocation>http://www.onvif.org/onvif/ver10/topics/topicns.xml</tev:TopicNamespaceLocation>"
            "<wsnt:FixedTopicSet>true</wsnt:FixedTopicSet><wstop:TopicSet/>"
            "<wsnt:TopicExpressionDialect>http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet</wsnt:TopicExpressionDialect>"
            "<tev:MessageContentFilterDialect>http://www.onvif.org/ver10/tev/messageContentFilter/ItemFilter"
            "</tev:MessageContentFilterDialect>"
            "<tev:MessageContentSchemaLocation>http://www.onvif.org/onvif/ver10/schema/onvif.xsd"
            "</tev:MessageContentSchemaLocation></tev:GetEventPropertiesResponse>"
        )

    def _times(self) -> tuple[str, str]:
        now = datetime.fromtimestamp(self.accounts.now_us() // _US, UTC)
        return _zulu(now), _zulu(now + timedelta(minutes=10))

    def _create_pull_point(self, call: Call) -> str:
        del call
        name = secrets.token_hex(8)
        self.pull_points.add(name)
        now, end = self._times()
        address = f"{self.xaddr('events')}?subscription={name}"
        return (
            "<tev:CreatePullPointSubscriptionResponse><tev:SubscriptionReference>"
            f"<wsa:Address>{address}</wsa:Address></tev:SubscriptionReference>"
            f"<wsnt:CurrentTime>{now}</wsnt:CurrentTime><wsnt:TerminationTime>{end}</wsnt:TerminationTime>"
            "</tev:CreatePullPointSubscriptionResponse>"
        )

    def _pull_messages(self, call: Call) -> str:
        del call
        now, end = self._times()
        return (
            f"<tev:PullMessagesResponse><tev:CurrentTime>{now}</tev:CurrentTime>"
            f"<tev:TerminationTime>{end}</tev:TerminationTime></tev:PullMessagesResponse>"
        )

    def _synchronise(self, call: Call) -> str:
        del call
        return "<tev:SetSynchronizationPointResponse/>"

    def _renew(self, call: Call) -> str:
        del call
        now, end = self._times()
        return (
            f"<wsnt:RenewResponse><wsnt:TerminationTime>{end}</wsnt:TerminationTime>"
            f"<wsnt:CurrentTime>{now}</wsnt:CurrentTime></wsnt:RenewResponse>"
        )

    def _unsubscribe(self, call: Call) -> str:
        del call
        return "<wsnt:UnsubscribeResponse/>"


def _moment(moment: datetime) -> str:
    time = (
        f"<tt:Hour>{moment.hour}</tt:Hour><tt:Minute>{moment.minute}</tt:Minute><tt:Second>{moment.second}</tt:Second>"
    )
    date = f"<tt:Year>{moment.year}</tt:Year><tt:Month>{moment.month}</tt:Month><tt:Day>{moment.day}</tt:Day>"
    return f"<tt:Time>{time}</tt:Time><tt:Date>{date}</tt:Date>"


def _zulu(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _media_uri(uri: str) -> str:
    return (
        f"<trt:MediaUri><tt:Uri>{escape(uri)}</tt:Uri><tt:InvalidAfterConnect>false</tt:InvalidAfterConnect>"
        "<tt:InvalidAfterReboot>false</tt:InvalidAfterReboot><tt:Timeout>PT60S</tt:Timeout></trt:MediaUri>"
    )


def _source_configuration(tag: str, profile: Profile) -> str:
    shape = profile.plan.main.shape
    return (
        f'<{tag} token="vsc{profile.channel}"><tt:Name>{escape(profile.plan.name)}</tt:Name>'
        f"<tt:UseCount>2</tt:UseCount><tt:SourceToken>{profile.source}</tt:SourceToken>"
        f'<tt:Bounds x="0" y="0" width="{shape.width}" height="{shape.height}"/></{tag}>'
    )


def _encoder1(tag: str, profile: Profile, stream: StreamPlan) -> str:
    """Media1 knows no H.265: such a stream is listed as H264, as most devices do."""
    shape = stream.shape
    return (
        f'<{tag} token="ve_{profile.token}"><tt:Name>{profile.name}</tt:Name><tt:UseCount>1</tt:UseCount>'
        f"<tt:Encoding>H264</tt:Encoding><tt:Resolution><tt:Width>{shape.width}</tt:Width>"
        f"<tt:Height>{shape.height}</tt:Height></tt:Resolution><tt:Quality>4</tt:Quality>"
        f"<tt:RateControl><tt:FrameRateLimit>{shape.fps}</tt:FrameRateLimit><tt:EncodingInterval>1</tt:EncodingInterval>"
        f"<tt:BitrateLimit>{shape.bitrate_kbit}</tt:BitrateLimit></tt:RateControl>"
        f"<tt:H264><tt:GovLength>{shape.gop}</tt:GovLength><tt:H264Profile>Main</tt:H264Profile></tt:H264>"
        f"{_MULTICAST}<tt:SessionTimeout>PT60S</tt:SessionTimeout></{tag}>"
    )


def _encoder2(tag: str, profile: Profile, stream: StreamPlan) -> str:
    shape = stream.shape
    return (
        f'<{tag} token="ve_{profile.token}" GovLength="{shape.gop}" Profile="Main"><tt:Name>{profile.name}</tt:Name>'
        f"<tt:UseCount>1</tt:UseCount><tt:Encoding>{shape.codec.upper()}</tt:Encoding>"
        f"<tt:Resolution><tt:Width>{shape.width}</tt:Width><tt:Height>{shape.height}</tt:Height></tt:Resolution>"
        f'<tt:RateControl ConstantBitRate="false"><tt:FrameRateLimit>{shape.fps}</tt:FrameRateLimit>'
        f"<tt:BitrateLimit>{shape.bitrate_kbit}</tt:BitrateLimit></tt:RateControl>{_MULTICAST}"
        f"<tt:Quality>4</tt:Quality></{tag}>"
    )
