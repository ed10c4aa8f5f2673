"""SOAP of the virtual devices without a network: requests read, every operation answered, faults written."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera_gateway.onvif.xml_guard import parse_xml
from deploy.virtual_camera.about import FOREIGN_HOST, About
from deploy.virtual_camera.accounts import Accounts
from deploy.virtual_camera.plan import Oddities, demo_device, from_json, recorder, to_json
from deploy.virtual_camera.services import OnvifServices
from deploy.virtual_camera.soap import DEVICE_NS, MEDIA2_NS, MEDIA_NS, Call, SoapFault, envelope, fault, read_call
from storage.clock import FakeClock

_TT = "{http://www.onvif.org/ver10/schema}"


def _services(oddities: Oddities | None = None) -> OnvifServices:
    device = demo_device(3, "secret", oddities)
    accounts = Accounts("admin", "secret", FakeClock())
    return OnvifServices(About(device, accounts, lambda: ("127.0.0.1", 8000, 554)))


def _call(namespace: str, operation: str, **arguments: str) -> Call:
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in arguments.items())
    return read_call(envelope(f'<{operation} xmlns="{namespace}">{inner}</{operation}>'))


def test_every_operation_is_answered_with_its_response() -> None:
    services = _services()
    assert len(services.operations()) > 30
    for namespace, operation in services.operations():
        arguments = {"ProfileToken": "ch1_main"}
        if operation == "GetVideoEncoderConfiguration":
            arguments = {"ConfigurationToken": "ve_ch1_sub"}
        answer = parse_xml(envelope(services.answer(_call(namespace, operation, **arguments))))
        (response,) = answer[0]
        assert response.tag == f"{{{namespace}}}{operation}Response"


@pytest.mark.parametrize("namespace", [DEVICE_NS, MEDIA_NS, "urn:x"])
def test_an_unknown_operation_is_a_fault(namespace: str) -> None:
    with pytest.raises(SoapFault) as caught:
        _services().answer(_call(namespace, "DoMagic"))
    assert caught.value.subcodes == ("ter:ActionNotSupported",)


def test_an_unknown_profile_is_a_fault() -> None:
    for namespace in (MEDIA_NS, MEDIA2_NS):
        with pytest.raises(SoapFault) as caught:
            _services().answer(_call(namespace, "GetStreamUri", ProfileToken="nope"))
        assert caught.value.subcodes == ("ter:InvalidArgVal", "ter:NoProfile")


def test_only_what_onvif_lets_strangers_ask_needs_no_login() -> None:
    services = _services()
    free = {name for namespace, name in services.operations() if not services.needs_login(_call(namespace, name))}
    expected = {"GetSystemDateAndTime", "GetServices", "GetCapabilities", "GetServiceCapabilities", "GetHostname"}
    assert free == expected


def test_media1_hides_h265_and_media2_shows_it() -> None:
    services = _services(Oddities(hide_h265=True))
    first = parse_xml(envelope(services.answer(_call(MEDIA_NS, "GetProfiles"))))
    assert len(first.findall(f".//{_TT}VideoEncoderConfiguration")) == 1
    second = parse_xml(envelope(services.answer(_call(MEDIA2_NS, "GetProfiles"))))
    assert [item.text for item in second.iter(f"{_TT}Encoding")] == ["H265", "H264"]


def test_a_device_may_name_an_address_it_does_not_have() -> None:
    services = _services(Oddities(foreign_xaddr=True))
    assert services.about.xaddr("media") == f"http://{FOREIGN_HOST}:80/onvif/media_service"
    uri = services.answer(_call(MEDIA2_NS, "GetStreamUri", ProfileToken="ch1_main"))
    assert f"rtsp://{FOREIGN_HOST}:554/stream/ch1_main" in uri


def test_the_clock_can_be_set_by_a_client() -> None:
    services = _services()
    parts = {"Year": "2030", "Month": "1", "Day": "2", "Hour": "3", "Minute": "4", "Second": "5"}
    services.answer(_call(DEVICE_NS, "SetSystemDateAndTime", DateTimeType="Manual", **parts))
    assert services.about.accounts.now_us() == 1_893_553_445_000_000


def test_a_token_is_read() -> None:
    wsse = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity"
    text = f"""<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:e="{wsse}-secext-1.0.xsd"
     xmlns:u="{wsse}-utility-1.0.xsd"><s:Header><e:Security><e:UsernameToken><e:Username>a&amp;b</e:Username>
     <e:Password>DIGEST=</e:Password><e:Nonce>Tk9O</e:Nonce><u:Created>2026-11-21T00:00:00Z</u:Created>
     </e:UsernameToken></e:Security></s:Header><s:Body><GetUsers xmlns="{DEVICE_NS}"/></s:Body></s:Envelope>"""
    call = read_call(text.encode())
    assert call.token is not None
    assert (call.token.username, call.token.digest, call.token.nonce) == ("a&b", "DIGEST=", "Tk9O")
    assert (call.namespace, call.operation) == (DEVICE_NS, "GetUsers")


@given(st.binary(max_size=300))
def test_what_is_no_request_is_a_fault_and_nothing_else(body: bytes) -> None:
    with pytest.raises(SoapFault):
        read_call(body)


@given(st.text(max_size=60))
def test_a_fault_is_well_formed_whatever_its_reason(reason: str) -> None:
    printable = "".join(character for character in reason if character.isprintable())
    root = parse_xml(fault(SoapFault("Sender", ("ter:A", "ter:B"), printable)))
    values = [item.text for item in root.iter("{http://www.w3.org/2003/05/soap-envelope}Value")]
    assert values == ["env:Sender", "ter:A", "ter:B"]


def test_a_plan_survives_the_command_line() -> None:
    odd = replace(demo_device(1, 'p"@ss\\<中文>', Oddities(clock_offset_s=75, media2=False)), name="窗口 & 大厅")
    plan = (odd, demo_device(3, "x"), recorder(9, 16, "y"))
    assert from_json(to_json(plan)) == plan
