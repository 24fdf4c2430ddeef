// The two forms of time in a signed request: ISO 8601 basic (X-Amz-Date) and the HTTP date (Date).
import { incomplete } from './refusals.ts'

const isoBasic = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/
const httpDate = /^(?:Sun|Mon|Tue|Wed|Thu|Fri|Sat), (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) (?:GMT|UTC|[+-]0000)$/
const months: readonly string[] = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** Whole seconds as YYYYMMDD'T'HHMMSS'Z'. */
export const formatTimestamp = (time: Date): string => `${time.toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`

/** What was read last: the requests of one second mostly carry the same text. */
let last = { text: '', seconds: 0, amzDate: '' }

/**
 * Reads X-Amz-Date, or a Date header in either form; `amzDate` is the same time in ISO 8601 basic.
 * @throws IncompleteSignatureException for what is neither, and for a day or hour that the calendar does not have.
 */
export function parseTimestamp(text: string): { time: Date, amzDate: string } {
  if (text !== last.text) last = { text, ...readTimestamp(text) }
  return { time: new Date(last.seconds * 1000), amzDate: last.amzDate }
}

function readTimestamp(text: string): { seconds: number, amzDate: string } {
  const http = httpDate.exec(text)
  const amzDate = http ? compactHttpDate(http) : text
  const [year, month, ...rest] = isoBasic.exec(amzDate)?.slice(1).map(Number) ?? []
  const time = new Date(year === undefined || month === undefined ? Number.NaN : Date.UTC(year, month - 1, ...rest))
  // Date.UTC rolls 31 February over to March and reads year 99 as 1999: only a time that prints as it was read is one.
  if (Number.isNaN(time.getTime()) || formatTimestamp(time) !== amzDate) {
    throw incomplete(`Date must be in ISO-8601 'basic format'. Got '${text}'. See http://en.wikipedia.org/wiki/ISO_8601`)
  }
  return { seconds: time.getTime() / 1000, amzDate }
}

function compactHttpDate([, day, month = '', year, hour, minute, second]: RegExpExecArray): string {
  return `${year}${String(months.indexOf(month) + 1).padStart(2, '0')}${day}T${hour}${minute}${second}Z`
}
