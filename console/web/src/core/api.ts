// One door to the console's HTTP API: errors become ApiError with the server's code, nothing else is thrown.

export class ApiError extends Error {
  readonly code: string;
  readonly status: number;
  readonly fields: Record<string, string | number>;

  constructor(code: string, status: number, fields: Record<string, string | number> = {}) {
    super(code);
    this.code = code;
    this.status = status;
    this.fields = fields;
  }
}

export interface Credentials {
  csrf: string | null;
  purpose: string | null;
}

export const credentials: Credentials = { csrf: null, purpose: null };

/** Events: `signed_out` (401 on an open session), `lost` and `found` (the console does not answer, answers again). */
export const connection = new EventTarget();
let reachable = true;

export function consoleReachable(): boolean {
  return reachable;
}

function note(answered: boolean): void {
  if (answered === reachable) return;
  reachable = answered;
  connection.dispatchEvent(new Event(answered ? "found" : "lost"));
}

interface Ask {
  method?: string;
  body?: unknown;
  footage?: boolean;
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

function headersOf(ask: Ask): Record<string, string> {
  const headers: Record<string, string> = { ...ask.headers };
  if (ask.body !== undefined) headers["Content-Type"] = "application/json";
  if ((ask.method ?? "GET") !== "GET" && credentials.csrf) headers["X-Sunhall-CSRF"] = credentials.csrf;
  if (ask.footage && credentials.purpose) headers["X-Sunhall-Purpose"] = credentials.purpose;
  return headers;
}

/** Sends one request and returns the answer when it is 2xx; throws ApiError otherwise. */
export async function send(path: string, ask: Ask = {}): Promise<Response> {
  const init: RequestInit = {
    method: ask.method ?? "GET",
    headers: headersOf(ask),
    credentials: "same-origin",
    cache: "no-store",
  };
  if (ask.body !== undefined) init.body = JSON.stringify(ask.body);
  if (ask.signal) init.signal = ask.signal;
  let answer: Response;
  try {
    answer = await fetch(path, init);
  } catch (error) {
    if (ask.signal?.aborted) throw new ApiError("aborted", 0);
    note(false);
    throw new ApiError("console_lost", 0, { reason: String(error) });
  }
  note(answer.status < 502 || answer.status > 504);
  if (answer.ok) return answer;
  throw await errorOf(answer);
}

async function errorOf(answer: Response): Promise<ApiError> {
  let code = answer.status === 422 ? "invalid_request" : `http_${answer.status}`;
  let fields: Record<string, string | number> = {};
  const text = await answer.text().catch(() => "");
  try {
    const body = JSON.parse(text) as { error?: { code?: string; fields?: Record<string, string | number> } };
    if (body.error?.code) code = body.error.code;
    if (body.error?.fields) fields = body.error.fields;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  if (answer.status === 401 && credentials.csrf) connection.dispatchEvent(new Event("signed_out"));
  return new ApiError(code, answer.status, fields);
}

async function json<T>(path: string, ask: Ask): Promise<T> {
  const answer = await send(path, ask);
  if (answer.status === 204) return undefined as T;
  const text = await answer.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

export const api = {
  get: <T>(path: string, ask: Omit<Ask, "method" | "body"> = {}): Promise<T> => json<T>(path, ask),
  post: <T>(path: string, body: unknown = {}, ask: Ask = {}): Promise<T> =>
    json<T>(path, { ...ask, method: "POST", body }),
  patch: <T>(path: string, body: unknown): Promise<T> => json<T>(path, { method: "PATCH", body }),
  delete: <T>(path: string): Promise<T> => json<T>(path, { method: "DELETE" }),
};
