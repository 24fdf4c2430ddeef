// The database's domain, for commands that need one.
import { StartError } from '../errors.ts'
import type { Pool } from '../store/database.ts'
import { findDomain, listDomainVersions, type Domain, type DomainVersion } from '../store/domain.ts'

export interface ReadyDomain {
  readonly domain: Domain
  /** All, oldest first. */
  readonly versions: readonly DomainVersion[]
  readonly newest: DomainVersion
}

/** @throws StartError when the database has none yet, or one whose making was cut off */
export async function readyDomain(pool: Pool): Promise<ReadyDomain> {
  const domain = await findDomain(pool)
  const versions = await listDomainVersions(pool)
  const newest = versions.at(-1)
  if (domain?.state !== 'ready' || newest === undefined) throw new StartError('the database has no domain yet: run `trent hsm init`')
  return { domain, versions, newest }
}
