"""The media services: Media (version 1), which knows no H.265, and Media2."""

from __future__ import annotations

from xml.sax.saxutils import escape

from deploy.virtual_camera.about import About, Handlers, Profile, profiles
from deploy.virtual_camera.plan import StreamPlan
from deploy.virtual_camera.soap import MEDIA2_NS, MEDIA_NS, Call, SoapFault

_MULTICAST = (
    "<tt:Multicast><tt:Address><tt:Type>IPv4</tt:Type><tt:IPv4Address>0.0.0.0</tt:IPv4Address></tt:Address>"
    "<tt:Port>0</tt:Port><tt:TTL>0</tt:TTL><tt:AutoStart>false</tt:AutoStart></tt:Multicast>"
)


class MediaService:
    """Media, version 1."""

    def __init__(self, about: About) -> None:
        self._about = about

    def handlers(self) -> Handlers:
        """What answers which operation."""
        return {
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
        }

    def _media1_profiles(self, call: Call) -> str:
        del call
        items = "".join(self._media1_profile_text("trt:Profiles", profile) for profile in profiles(self._about.device))
        return f"<trt:GetProfilesResponse>{items}</trt:GetProfilesResponse>"

    def _media1_profile(self, call: Call) -> str:
        text = self._media1_profile_text("trt:Profile", self._about.profile(call.text("ProfileToken")))
        return f"<trt:GetProfileResponse>{text}</trt:GetProfileResponse>"

    def _media1_profile_text(self, tag: str, profile: Profile) -> str:
        source = _source_configuration("tt:VideoSourceConfiguration", profile)
        encoder = ""
        hidden = profile.stream and profile.stream.shape.codec == "h265" and self._about.device.oddities.hide_h265
        if profile.stream is not None and not hidden:
            encoder = _encoder1("tt:VideoEncoderConfiguration", profile, profile.stream)
        name = f"<tt:Name>{profile.name}</tt:Name>"
        return f'<{tag} token="{profile.token}" fixed="true">{name}{source}{encoder}</{tag}>'

    def _video_sources(self, call: Call) -> str:
        del call
        items = ""
        for number, channel in enumerate(self._about.device.channels, start=1):
            shape = channel.main.shape
            size = f"<tt:Width>{shape.width}</tt:Width><tt:Height>{shape.height}</tt:Height>"
            items += (
                f'<trt:VideoSources token="vs{number}"><tt:Framerate>{shape.fps}</tt:Framerate>'
                f"<tt:Resolution>{size}</tt:Resolution></trt:VideoSources>"
            )
        return f"<trt:GetVideoSourcesResponse>{items}</trt:GetVideoSourcesResponse>"

    def _media1_sources(self, call: Call) -> str:
        del call
        items = "".join(_source_configuration("trt:Configurations", profile) for profile in self._about.mains())
        return f"<trt:GetVideoSourceConfigurationsResponse>{items}</trt:GetVideoSourceConfigurationsResponse>"

    def _media1_encoders(self, call: Call) -> str:
        del call
        items = "".join(
            _encoder1("trt:Configurations", profile, stream) for profile, stream in self._about.with_stream()
        )
        return f"<trt:GetVideoEncoderConfigurationsResponse>{items}</trt:GetVideoEncoderConfigurationsResponse>"

    def _media1_encoder(self, call: Call) -> str:
        token = call.text("ConfigurationToken")
        for profile, stream in self._about.with_stream():
            if f"ve_{profile.token}" == token:
                text = _encoder1("trt:Configuration", profile, stream)
                return f"<trt:GetVideoEncoderConfigurationResponse>{text}</trt:GetVideoEncoderConfigurationResponse>"
        raise SoapFault("Sender", ("ter:InvalidArgVal", "ter:NoConfig"), "no such configuration")

    def _media1_options(self, call: Call) -> str:
        token = call.text("ProfileToken") or call.text("ConfigurationToken").removeprefix("ve_")
        profile = self._about.profile(token or "ch1_main")
        shape = (profile.stream or profile.plan.main).shape
        size = f"<tt:Width>{shape.width}</tt:Width><tt:Height>{shape.height}</tt:Height>"
        ranges = "".join(
            f"<tt:{name}><tt:Min>{low}</tt:Min><tt:Max>{high}</tt:Max></tt:{name}>"
            for name, low, high in (
                ("GovLengthRange", shape.gop, shape.gop),
                ("FrameRateRange", shape.fps, shape.fps),
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
        uri = self._about.stream_uri(call.text("ProfileToken"))
        return f"<trt:GetStreamUriResponse>{_media_uri(uri)}</trt:GetStreamUriResponse>"

    def _media1_snapshot(self, call: Call) -> str:
        uri = self._about.snapshot_uri(call.text("ProfileToken"))
        return f"<trt:GetSnapshotUriResponse>{_media_uri(uri)}</trt:GetSnapshotUriResponse>"

    def _media1_capabilities(self, call: Call) -> str:
        del call
        return (
            '<trt:GetServiceCapabilitiesResponse><trt:Capabilities SnapshotUri="true" Rotation="false">'
            f'<trt:ProfileCapabilities MaximumNumberOfProfiles="{len(profiles(self._about.device))}"/>'
            '<trt:StreamingCapabilities RTPMulticast="false" RTP_TCP="true" RTP_RTSP_TCP="true"/>'
            "</trt:Capabilities></trt:GetServiceCapabilitiesResponse>"
        )


class Media2Service:
    """Media2."""

    def __init__(self, about: About) -> None:
        self._about = about

    def handlers(self) -> Handlers:
        """What answers which operation."""
        return {
            (MEDIA2_NS, "GetProfiles"): self._media2_profiles,
            (MEDIA2_NS, "GetStreamUri"): self._media2_stream,
            (MEDIA2_NS, "GetSnapshotUri"): self._media2_snapshot,
            (MEDIA2_NS, "GetVideoSourceConfigurations"): self._media2_sources,
            (MEDIA2_NS, "GetVideoEncoderConfigurations"): self._media2_encoders,
            (MEDIA2_NS, "GetServiceCapabilities"): self._media2_capabilities,
        }

    def _media2_profiles(self, call: Call) -> str:
        del call
        items = ""
        for profile in profiles(self._about.device):
            source = _source_configuration("tr2:VideoSource", profile)
            encoder = _encoder2("tr2:VideoEncoder", profile, profile.stream) if profile.stream is not None else ""
            parts = f"<tr2:Configurations>{source}{encoder}</tr2:Configurations>"
            name = f"<tr2:Name>{profile.name}</tr2:Name>"
            items += f'<tr2:Profiles token="{profile.token}" fixed="true">{name}{parts}</tr2:Profiles>'
        return f"<tr2:GetProfilesResponse>{items}</tr2:GetProfilesResponse>"

    def _media2_stream(self, call: Call) -> str:
        uri = escape(self._about.stream_uri(call.text("ProfileToken")))
        return f"<tr2:GetStreamUriResponse><tr2:Uri>{uri}</tr2:Uri></tr2:GetStreamUriResponse>"

    def _media2_snapshot(self, call: Call) -> str:
        uri = escape(self._about.snapshot_uri(call.text("ProfileToken")))
        return f"<tr2:GetSnapshotUriResponse><tr2:Uri>{uri}</tr2:Uri></tr2:GetSnapshotUriResponse>"

    def _media2_sources(self, call: Call) -> str:
        del call
        items = "".join(_source_configuration("tr2:Configurations", profile) for profile in self._about.mains())
        return f"<tr2:GetVideoSourceConfigurationsResponse>{items}</tr2:GetVideoSourceConfigurationsResponse>"

    def _media2_encoders(self, call: Call) -> str:
        del call
        items = "".join(
            _encoder2("tr2:Configurations", profile, stream) for profile, stream in self._about.with_stream()
        )
        return f"<tr2:GetVideoEncoderConfigurationsResponse>{items}</tr2:GetVideoEncoderConfigurationsResponse>"

    def _media2_capabilities(self, call: Call) -> str:
        del call
        return (
            '<tr2:GetServiceCapabilitiesResponse><tr2:Capabilities SnapshotUri="true">'
            f'<tr2:ProfileCapabilities MaximumNumberOfProfiles="{len(profiles(self._about.device))}"/>'
            '<tr2:StreamingCapabilities RTSPStreaming="true" RTPMulticast="false" RTP_RTSP_TCP="true"/>'
            "</tr2:Capabilities></tr2:GetServiceCapabilitiesResponse>"
        )


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
