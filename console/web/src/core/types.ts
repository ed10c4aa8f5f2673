// What the console answers (docs/interfaces.md section 9).

export type RoleCode = "supervisor" | "auditor" | "hall_admin" | "system_admin";

export interface Session {
  account: { id: string; login: string; display_name: string; roles: RoleCode[] };
  several_roles: boolean;
  csrf: string;
  hall: { id: string; name: string; timezone: string };
  now_us: number;
  version: string;
}

export interface Purpose {
  id: string;
  code: string;
  reference: string;
  created_us: number;
}

export interface CoverageSpan {
  t0_us: number;
  t1_us: number;
  state: string;
  detail: string;
}

export interface DayCoverage {
  day: string;
  t0_us: number;
  t1_us: number;
  now_us: number;
  spans: CoverageSpan[];
}

export interface MapEntry {
  map_id: string;
  window_id: string;
  number: number;
  name: string;
  role: string;
  from_us: number;
}

export interface CameraStream {
  id: string;
  role: string;
  codec: string;
  width: number;
  height: number;
  fps_milli: number;
  gop_ms: number;
  recorded: boolean;
  /** What is to read it: rtsp, libav, or empty: as it turns out. */
  engine: string;
  transport: string;
  /** What the gateway measures now; null while it does not read the stream. */
  seen: SeenStream | null;
}

export interface SeenStream {
  engine: string;
  engine_note: string;
  transport: string;
  fps_milli: number;
  bitrate_kbit: number;
  clock_offset_us: number | null;
  clock_error_us: number | null;
}

/** What the gateway counted of a stream since it started. */
export interface StreamCounters {
  frames: number;
  packets: number;
  lost: number;
  broken_units: number;
  reconnects: number;
  last_cause: string;
  last_evidence: string;
  gop_ms: number;
}

export interface StateSince {
  state: string;
  cause: string;
  since_us: number;
}

export interface Camera {
  id: string;
  device_id: string;
  number: number;
  name: string;
  enabled: boolean;
  live: StateSince;
  recording: StateSince;
  streams: CameraStream[];
  windows: MapEntry[];
  clock: { offset_us: number; error_us: number } | null;
  device?: Device;
}

export interface Device {
  id: string;
  name: string;
  address: string;
  port: number;
  username: string;
  serial: string;
  manufacturer: string;
  model: string;
  firmware: string;
  enabled: boolean;
  clock_offset_us: number | null;
  clock_error_us: number | null;
  auth_blocked: boolean;
  channels: string[];
}

export interface ServiceWindow {
  id: string;
  number: number;
  name: string;
  retired_us: number | null;
}

export interface Period {
  weekday: number;
  from_minute: number;
  to_minute: number;
}

export interface Hall {
  id: string;
  name: string;
  timezone: string;
  notice_staff: string;
  notice_visitors: string;
  notice_version: number;
  quota_bytes: number;
  video_days: number;
  screen_days: number;
  visit_minutes: number;
  periods: Period[];
  time_source: string;
}

export interface Workstation {
  id: string;
  name: string;
  hostname: string;
  agent_version: string;
  seen_us: number | null;
  state: string;
  clock_offset_us: number | null;
  clock_error_us: number | null;
  spool_bytes: number;
  spool_segments: number;
  revoked_us: number | null;
  windows: Omit<MapEntry, "role">[];
  monitors: { id: string; name: string; width: number; height: number }[];
}

export interface ProbeAnswer {
  device: {
    manufacturer: string;
    model: string;
    firmware: string;
    serial: string;
    xaddr: string;
    port: number;
    clock_offset_us: number | null;
    clock_error_us: number | null;
  };
  channels: {
    number: number;
    name: string;
    ptz: boolean;
    streams: {
      role: string;
      codec: string;
      width: number;
      height: number;
      fps_milli: number;
      gop_ms: number;
      bitrate_kbit: number;
    }[];
  }[];
  picture: string | null;
  picture_ms: number;
  registered: string | null;
  warnings: string[];
}

export interface Found {
  address: string;
  port: number;
  name: string;
  hardware: string;
  serial: string;
  registered: string | null;
}

export interface Problem {
  id: string;
  kind: string;
  subject: string;
  name: string;
  since_us: number;
  count: number;
  cause: string;
  detail: string;
  link: string;
}

export interface CaseRow {
  id: string;
  number: string;
  source: { id: string; code: string; name: string };
  item_code: string;
  status: string;
  first_us: number;
  last_us: number;
  visits: number;
}

export interface CaseEvent {
  id: string;
  sequence: number;
  kind: string;
  step: string;
  window: string | null;
  window_id: string | null;
  staff: string;
  event_us: number;
  precision: string;
  intake_us: number;
  ticket: string;
}

export interface Visit {
  id: string;
  version: number;
  window: { id: string; number: number; name: string };
  staff: string;
  t0_us: number;
  t1_us: number | null;
  opened_by: string;
  closed_by: string;
  ambiguous: boolean;
}

export interface CaseAnswer {
  case: CaseRow;
  events: CaseEvent[];
  visits: Visit[];
}

export interface TimelineSegment {
  id: string;
  t0_us: number;
  t1_us: number;
  media_duration: number;
  timescale: number;
  codec: string;
  bytes: number;
}

export interface TimelineStream {
  id: string;
  role: string;
  codec: string;
  width: number;
  height: number;
  segments: TimelineSegment[];
}

export interface TimelineCamera {
  camera_id: string;
  name: string;
  role: string;
  streams: TimelineStream[];
  coverage: CoverageSpan[];
}

export interface TimelineScreen {
  workstation_id: string;
  workstation: string;
  monitor_id: string;
  monitor: string;
  width: number;
  height: number;
  pictures: number[];
  coverage: CoverageSpan[];
}

export interface TimelineStep {
  id: string;
  kind: string;
  step: string;
  event_us: number;
  precision: string;
}

export interface VisitTimeline {
  t0_us: number;
  t1_us: number;
  case: CaseRow;
  visit: Visit;
  steps: TimelineStep[];
  cameras: TimelineCamera[];
  screens: TimelineScreen[];
}

export interface AuditRow {
  id: string;
  at_us: number;
  login: string | null;
  display_name: string | null;
  action: string;
  subject: string;
  purpose: { code: string; reference: string } | null;
  detail: unknown;
}

export interface Account {
  id: string;
  login: string;
  display_name: string;
  disabled: boolean;
  roles: RoleCode[];
  created_us?: number;
}

export interface Source {
  id: string;
  code: string;
  name: string;
  timezone: string;
  last_sequence: number | null;
  holes: [number, number][];
  events: number;
  disabled_us: number | null;
}

/** What people set in a recording plan. */
export interface PlanValues {
  mode: string;
  schedule_id: string | null;
  streams: string;
  pre_roll_s: number;
  post_roll_s: number;
  on_visit: boolean;
  on_motion: boolean;
  extend_visits: boolean;
  extend_after_s: number;
  extend_cap_s: number;
  keep_days: number;
  retention_class_id: string | null;
  audio: boolean;
  audio_basis: string;
}

export type PlanField = keyof PlanValues;

export interface Plan extends PlanValues {
  keeps_days: number;
  audio_by: string | null;
  audio_us: number | null;
  version: number;
  updated_us: number | null;
  updated_by: string | null;
}

export interface PlanRow {
  camera_id: string;
  name: string;
  device_id: string;
  enabled: boolean;
  has_sub: boolean;
  windows: { window_id: string; number: number; name: string }[];
  plan: Plan;
}

export interface Schedule {
  id: string;
  name: string;
  follows_calendar: boolean;
  periods: Period[];
  cameras: number;
  windows: number;
}

export interface RetentionClass {
  id: string;
  name: string;
  days: number;
  basis: string;
  cameras: number;
}

export interface PlansAnswer {
  plans: PlanRow[];
  schedules: Schedule[];
  retention_classes: RetentionClass[];
}

export interface WindowHours {
  window_id: string;
  number: number;
  name: string;
  schedule_id: string | null;
  lunch_weekdays: number[];
}

export interface CalendarDay {
  day: string;
  kind: string;
  as_weekday: number;
  name: string;
}

export interface CalendarYears {
  years: {
    year: number;
    source: string;
    loaded_us: number;
    loaded_by: string | null;
    holidays: number;
    workdays: number;
  }[];
  missing: number[];
}

export interface CalendarYear {
  year: number;
  loaded: boolean;
  source: string;
  days: CalendarDay[];
}

export interface CalendarReading {
  days: CalendarDay[];
  problems: { line: number; text: string; code: string }[];
}

export interface PlanBar {
  t0_us: number;
  t1_us: number;
  state: string;
}

export interface PlanDay {
  day: string;
  t0_us: number;
  t1_us: number;
  now_us: number;
  calendar: { loaded: boolean; kind: string | null; as_weekday: number; name: string };
  cameras: { camera_id: string; name: string; mode: string; schedule: string | null; bars: PlanBar[] }[];
}
