// A job on a token, with its login: what most commands under `trent hsm` are.
import type { Config, TokenConfig } from '../config.ts'
import { runJob, tokenAddress } from '../hsm/agent-process.ts'
import type { Job } from '../hsm/agent/control.ts'
import type { Pool } from '../store/database.ts'
import { TokenLogins } from './token-logins.ts'

export interface TokenSite {
  readonly config: Config
  readonly pool: Pool
  readonly token: TokenConfig
}

type WithoutToken<Work> = Work extends unknown ? Omit<Work, 'token'> : never

/** Runs it in an hsm-agent of its own, which logs in if the database and this host have nothing against it. @throws StartError */
export const runTokenJob = <Result>({ config, pool, token }: TokenSite, job: WithoutToken<Job>): Promise<Result> =>
  runJob<Result>(token, { ...job, token: tokenAddress(token) }, new TokenLogins({ token, pool, dataDirectory: config.dataDirectory }))
