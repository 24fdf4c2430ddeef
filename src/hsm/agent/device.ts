import type { Profile } from './profile.ts'
import type { Session } from './session.ts'

/** A token as a verb uses it: the worker's session, and what is known of its kind. */
export interface Device {
  readonly session: Session
  readonly profile: Profile
}
