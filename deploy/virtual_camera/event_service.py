"""The event service: a pull point that never has anything to tell."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

from deploy.virtual_camera.about import About, Handlers
from deploy.virtual_camera.soap import EVENTS_NS, NOTIFICATION_NS, Call

_US = 1_000_000


class EventService:
    """Subscriptions are handed out and never miss anything, because nothing happens."""

    def __init__(self, about: About) -> None:
        self._about = about

    def handlers(self) -> Handlers:
        """What answers which operation."""
        return {
            (EVENTS_NS, "GetServiceCapabilities"): self._event_capabilities,
            (EVENTS_NS, "GetEventProperties"): self._event_properties,
            (EVENTS_NS, "CreatePullPointSubscription"): self._create_pull_point,
            (EVENTS_NS, "PullMessages"): self._pull_messages,
            (EVENTS_NS, "SetSynchronizationPoint"): self._synchronise,
            (NOTIFICATION_NS, "Renew"): self._renew,
            (NOTIFICATION_NS, "Unsubscribe"): self._unsubscribe,
        }

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
        now = datetime.fromtimestamp(self._about.accounts.now_us() // _US, UTC)
        return _zulu(now), _zulu(now + timedelta(minutes=10))

    def _create_pull_point(self, call: Call) -> str:
        del call
        name = secrets.token_hex(8)
        now, end = self._times()
        address = f"{self._about.xaddr('events')}?subscription={name}"
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


def _zulu(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
