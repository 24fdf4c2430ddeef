// The private port: metrics and probes for the operator, never for callers of the API. It knows no secret and takes no input
// but the path and ?verbose.
import express from 'express'
import type { Express, NextFunction, Request, Response } from 'express'

export interface Check {
  readonly ok: boolean
  readonly detail?: string
}

export interface Readiness {
  readonly ok: boolean
  readonly checks: Readonly<Record<string, Check>>
}

export interface ExporterOptions {
  /** Prometheus text; must settle on its own, see collect in telemetry/snapshot.ts. */
  readonly metrics: () => Promise<string>
  readonly ready: () => Promise<Readiness>
  readonly live: () => boolean
}

/** GET /metrics, /livez and /readyz (200 or 503; with ?verbose the checks as JSON); everything else is 404. */
export function createExporter({ metrics, ready, live }: ExporterOptions): Express {
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.get('/metrics', async (_request, response) => {
    const page = await metrics().catch(() => undefined)
    if (page === undefined) text(response, 503, 'metrics are unavailable')
    else response.status(200).set('Content-Type', 'text/plain; version=0.0.4; charset=utf-8').end(page)
  })
  app.get('/livez', (_request, response) => {
    const ok = live()
    text(response, ok ? 200 : 503, ok ? 'ok' : 'not live')
  })
  app.get('/readyz', async (request, response) => {
    const readiness = await ready().catch((): Readiness => ({ ok: false, checks: { readiness: { ok: false, detail: 'the checks failed to run' } } }))
    const status = readiness.ok ? 200 : 503
    if (request.query['verbose'] === undefined) text(response, status, readiness.ok ? 'ok' : 'not ready')
    else response.status(status).set('Cache-Control', 'no-store').json(readiness)
  })
  app.use((_request, response) => {
    text(response, 404, 'not found')
  })
  app.use(failed)
  return app
}

/** Express would show a stack trace, for a malformed path too. */
function failed(_error: unknown, _request: Request, response: Response, _next: NextFunction): void {
  text(response, 500, 'error')
}

function text(response: Response, status: number, line: string): void {
  response.status(status).set('Content-Type', 'text/plain; charset=utf-8').set('Cache-Control', 'no-store').end(`${line}\n`)
}
