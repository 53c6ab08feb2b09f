// Requests to our own server, relative to the page, so that a path before it does no harm.

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function answerOf(response) {
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  const detail = Array.isArray(body.detail) ? body.detail.map((one) => one.msg).join("; ") : body.detail;
  throw new Refused(response.status, detail || body.error || `the server answered ${response.status}`);
}

export async function get(path) {
  return answerOf(await fetch(path, { headers: { Accept: "application/json" } }));
}

export async function post(path, body = {}) {
  return answerOf(
    await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(body),
    }),
  );
}
