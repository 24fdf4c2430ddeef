// What ./dev says once all works: the lines to paste, an example, and what a newcomer would otherwise trip over.
import { execFile } from 'node:child_process'
import { environment, type Config } from '../../config.ts'
import type { DataFolder } from './data-folder.ts'
import { endpoint, readCredentials, type FirstUse } from './first-use.ts'

/** Services that answer at the endpoint, by the name that their endpoint variable has. */
const services = ['KMS', 'STS']

const quoted = (value: string) => (/^[\w/+.:=-]+$/.test(value) ? value : `'${value.replaceAll('\'', '\'\\\'\'')}'`)

/** Lines for a POSIX shell that point the AWS CLI and SDKs at what runs, the secret among them. */
export function exportLines(data: DataFolder, config: Config): string[] {
  const { accessKeyId, secretAccessKey } = readCredentials(data)
  const variables = [
    ...services.map((service) => [`AWS_ENDPOINT_URL_${service}`, endpoint(config)] as const),
    ['AWS_ACCESS_KEY_ID', accessKeyId],
    ['AWS_SECRET_ACCESS_KEY', secretAccessKey],
    ['AWS_REGION', config.region],
    ['AWS_DEFAULT_REGION', config.region],
  ] as const
  return variables.map(([name, value]) => `export ${name}=${quoted(value)}`)
}

/** The AWS CLI reads AWS_ENDPOINT_URL_KMS from these versions on. Older ones ignore it and would send the request to AWS itself. */
const firstWithEndpointVariables: Readonly<Record<number, number>> = { 1: 29, 2: 13 }

/** The version of an AWS CLI that ignores the endpoint variables, or undefined. `banner` is what `aws --version` prints. */
export function outdatedAws(banner: string): string | undefined {
  const [, version, major, minor] = /^aws-cli\/((\d+)\.(\d+)\.\d+)/.exec(banner) ?? []
  const needed = firstWithEndpointVariables[Number(major)]
  return needed !== undefined && Number(minor) < needed ? version : undefined
}

function awsBanner(): Promise<string> {
  return new Promise((resolve) => {
    execFile('aws', ['--version'], { timeout: 10_000, env: environment() }, (_error, stdout, stderr) => resolve(stdout || stderr))
  })
}

/** All that ./dev prints about what runs. */
export async function announcement(data: DataFolder, config: Config, use: FirstUse): Promise<string> {
  const outdated = outdatedAws(await awsBanner())
  const option = outdated ? ` --endpoint-url ${endpoint(config)}` : ''
  const lines = [
    `Trent answers on ${endpoint(config)}, account 111122223333, Region ${config.region}.`,
    `${use.took.map(([step, milliseconds]) => `${step} ${milliseconds.toFixed(1)} ms`).join(', ')} with ${use.keyArn}`,
    `Metrics and health: http://${config.private.host}:${config.private.port}/metrics   Log: ${data.log}`,
    `Recovery key of the domain: ${data.recoveryKey}. In production it belongs elsewhere: offline, in the operators' hands.`,
    '',
    `Paste, or run: eval "$(./dev --env${data.option})"`,
    '',
    ...exportLines(data, config).map((line) => `  ${line}`),
    '',
    'Then, for example:',
    '',
    `  printf hello > hello.txt && aws kms encrypt${option} --key-id ${use.keyArn} --plaintext fileb://hello.txt`,
    '',
  ]
  if (outdated) {
    lines.push(`The installed aws ${outdated} ignores AWS_ENDPOINT_URL_KMS and would call AWS itself:`)
    lines.push('give it --endpoint-url, or install 2.13 (1.29) or newer.', '')
  }
  return lines.join('\n')
}
