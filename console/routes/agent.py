"""The agents' API (docs/interfaces.md, section 7). All but enrolment is signed by the workstation's key."""

import base64
import binascii
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Response
from pydantic import ConfigDict, Field, ValidationError

from console.routes.bodies import Body, Said, Secret, Us
from console.routes.guard import Guard
from console.services.access import Actor
from console.services.agents import Agents, Claim, Enrolment, MonitorFacts, Report, SegmentHeader
from console.services.signatures import SignedWorkstation, WorkstationSignatures
from storage.clock import Clock
from storage.errors import InvalidInput

Label = Annotated[Said, Field(max_length=64)]
Side = Annotated[int, Field(ge=0, le=65_535)]
Count = Annotated[int, Field(ge=0, lt=1 << 31)]
Bytes = Annotated[int, Field(ge=0, lt=1 << 62)]
Signed64 = Annotated[int, Field(gt=-(1 << 62), lt=1 << 62)]


class AgentBody(Body):
    """A body of an agent: a newer agent may say more than this console understands."""

    model_config = ConfigDict(extra="ignore")


class MonitorBody(AgentBody):
    """A monitor by the agent's stable name for it."""

    name: Annotated[Label, Field(min_length=1)]
    width: Side
    height: Side

    def facts(self) -> MonitorFacts:
        """The value for the service."""
        return MonitorFacts(self.name, self.width, self.height)


Monitors = Annotated[list[MonitorBody], Field(max_length=16)]


class EnrolBody(AgentBody):
    """A one-time code and the key that the machine made for itself."""

    code: Secret
    public_key: Annotated[str, Field(max_length=64)]
    machine_id: Annotated[Said, Field(max_length=200)] = ""
    hostname: Annotated[Said, Field(max_length=255)] = ""
    version: Label = ""
    monitors: Monitors = Field(default_factory=list)


class ClaimBody(AgentBody):
    """A stretch of a monitor's time in one coverage state."""

    monitor: Label
    t0_us: Us
    t1_us: Us
    state: Label
    detail: Annotated[Said, Field(max_length=8000)] = ""


class SpoolBody(AgentBody):
    """What waits on the workstation."""

    bytes: Bytes = 0
    segments: Count = 0
    dropped: Count = 0


class ClockBody(AgentBody):
    """The workstation's clock minus ours, and how exactly that is known."""

    offset_us: Signed64 | None = None
    error_us: Bytes | None = None


class ReportBody(AgentBody):
    """An agent's report."""

    version: Label = ""
    monitors: Monitors = Field(default_factory=list)
    coverage: Annotated[list[ClaimBody], Field(max_length=5000)] = Field(default_factory=list)
    spool: SpoolBody = Field(default_factory=SpoolBody)
    clock: ClockBody = Field(default_factory=ClockBody)

    def report(self) -> Report:
        """The value for the service."""
        return Report(
            version=self.version,
            monitors=[item.facts() for item in self.monitors],
            coverage=[Claim(**item.model_dump()) for item in self.coverage],
            spool_bytes=self.spool.bytes,
            spool_segments=self.spool.segments,
            spool_dropped=self.spool.dropped,
            clock_offset_us=self.clock.offset_us,
            clock_error_us=self.clock.error_us,
        )


class SegmentHead(AgentBody):
    """X-Sunhall-Segment: what the body holds."""

    monitor: Annotated[Label, Field(min_length=1)]
    width: Side
    height: Side
    t0_us: Us
    t1_us: Us
    pictures: Annotated[list[Us], Field(min_length=1, max_length=1024)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    def header(self) -> SegmentHeader:
        """The value for the service."""
        return SegmentHeader(
            self.monitor, self.width, self.height, self.t0_us, self.t1_us, self.pictures, bytes.fromhex(self.sha256)
        )


def router(agents: Agents, signatures: WorkstationSignatures, clock: Clock, guard: Guard) -> APIRouter:
    """Routes of agents."""
    routes = APIRouter(prefix="/agent/v1", tags=["agents"])

    @routes.post(
        "/enrol",
        status_code=201,
        summary="Enrol a workstation",
        description="Uses up a one-time code. 401 `enrolment_code_invalid`; throttled by address.",
    )
    def enrol(
        body: EnrolBody, actor: Annotated[Actor, guard.unsigned("its key becomes known by this: the code is the proof")]
    ) -> dict[str, Any]:
        asked = Enrolment(
            code=body.code.get_secret_value(),
            public_key=_decode(body.public_key, "public_key_invalid"),
            machine_id=body.machine_id,
            hostname=body.hostname,
            version=body.version,
            monitors=[item.facts() for item in body.monitors],
        )
        return agents.enrol(asked, actor.address)

    @routes.get("/time", summary="The console's clock", description="For measuring the workstation's offset.")
    def read_time(by: Annotated[SignedWorkstation, guard.signed("workstation", signatures.verify)]) -> dict[str, int]:
        return {"now_us": clock.now_us()}

    @routes.post(
        "/report",
        summary="Report",
        description="States of all monitors, spool and clock; answers the time, the pace and the settings in force.",
    )
    def report(
        body: ReportBody, by: Annotated[SignedWorkstation, guard.signed("workstation", signatures.verify)]
    ) -> dict[str, Any]:
        return agents.report(by.workstation_id, body.report())

    @routes.put(
        "/segments/{segment_id}",
        status_code=201,
        summary="Hand over a screen segment",
        description="201 stored, 200 repeated, 409 `segment_conflict`, 413 over 8 MB, 422 when it is no segment.",
        openapi_extra={"requestBody": {"content": {"application/octet-stream": {}}, "required": True}},
    )
    def put_segment(
        segment_id: UUID,
        response: Response,
        by: Annotated[SignedWorkstation, guard.signed("workstation", signatures.verify)],
        x_sunhall_segment: Annotated[str, Header(max_length=64_000)],
    ) -> dict[str, Any]:
        new = agents.take_segment(by.workstation_id, segment_id, _head(x_sunhall_segment), by.body)
        response.status_code = 201 if new else 200
        return {"segment_id": str(segment_id), "repeated": not new}

    return routes


def _head(text: str) -> SegmentHeader:
    try:
        return SegmentHead.model_validate_json(_decode(text, "segment_header_invalid")).header()
    except ValidationError as error:
        fields = {".".join(str(part) for part in item["loc"]): item["type"] for item in error.errors()}
        raise InvalidInput("segment_header_invalid", "X-Sunhall-Segment lacks something", **fields) from error


def _decode(text: str, code: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(code, "this is no base64") from error
