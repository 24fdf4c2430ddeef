// The two forms of time in a signed request: ISO 8601 basic (X-Amz-Date) and the HTTP date (Date).
import { incomplete } from './refusals.ts'

const isoBasic = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/
const httpDate = /^(?:Sun|Mon|Tue|Wed|Thu|Fri|Sat), (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) (?:GMT|UTC|[+-]0000)$/
const months: readonly string[] = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** Whole seconds as YYYYMMDD'T'HHMMSS'Z'. */
export const formatTimestamp = (time: Date): string => `${time.toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`

/**
 * Reads X-Amz-Date, or a Date header in either form.
 * @throws IncompleteSignatureException for what is neither, and for a day or hour that the calendar does not have.
 */
export function parseTimestamp(text: string): Date {
  const iso = isoBasic.exec(text)
  const http = iso ? null : httpDate.exec(text)
  const compact = iso ? text : http ? compactHttpDate(http) : undefined
  const time = new Date(compact === undefined ? Number.NaN : Date.UTC(
    Number(compact.slice(0, 4)), Number(compact.slice(4, 6)) - 1, Number(compact.slice(6, 8)),
    Number(compact.slice(9, 11)), Number(compact.slice(11, 13)), Number(compact.slice(13, 15)),
  ))
  // Date.UTC rolls 31 February over to March and reads year 99 as 1999: only a time that prints as it was read is one.
  if (Number.isNaN(time.getTime()) || formatTimestamp(time) !== compact) {
    throw incomplete(`Date must be in ISO-8601 'basic format'. Got '${text}'. See http://en.wikipedia.org/wiki/ISO_8601`)
  }
  return time
}

function compactHttpDate([, day, month = '', year, hour, minute, second]: RegExpExecArray): string {
  return `${year}${String(months.indexOf(month) + 1).padStart(2, '0')}${day}T${hour}${minute}${second}Z`
}
