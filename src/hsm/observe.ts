// From an agent's answer to the metrics: the timings that came in its frame, by PKCS#11 function.
import type { HsmMetrics } from '../telemetry/metrics.ts'
import type { AnswerFrame } from './agent/frames.ts'

export const observeAnswer = (metrics: HsmMetrics) => (token: string, answer: AnswerFrame): void => {
  metrics.queued(token, answer.queueNanoseconds / 1e9)
  for (const { call, nanoseconds } of answer.timings) metrics.called(token, call, nanoseconds / 1e9)
  const last = answer.timings.at(-1)
  if (answer.ckr !== 0 && last !== undefined) metrics.failed(token, last.call, answer.ckr)
}
