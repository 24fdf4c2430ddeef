// The certificates of an attestation document up to a root that the operator has named.
import { X509Certificate } from 'node:crypto'
import { AttestationRefused } from './refused.ts'

/** Certificates above the signer's; AWS's documents have four. */
const bundleLimit = 16

/**
 * The certificate that signs, at the end of an unbroken chain from one of the roots; `bundle` begins with the root.
 * @throws AttestationRefused
 */
export function verifyChain(signer: Uint8Array, bundle: readonly Uint8Array[], roots: readonly X509Certificate[], now: Date): X509Certificate {
  if (bundle.length === 0 || bundle.length > bundleLimit) throw new AttestationRefused(`its bundle has ${bundle.length} certificates`)
  const [first, ...below] = [...bundle, signer].map(read)
  if (first === undefined || !roots.some(root => root.raw.equals(first.raw))) throw new AttestationRefused('its bundle does not begin with a configured root')
  requireValid(first, now)
  let issuer = first
  for (const certificate of below) {
    requireValid(certificate, now)
    if (!issuer.ca) throw new AttestationRefused('a certificate of its bundle is of no authority')
    if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) throw new AttestationRefused('its chain of certificates is broken')
    issuer = certificate
  }
  // What signs documents signs no certificates: an authority's own key is not an enclave's.
  if (issuer.ca) throw new AttestationRefused('it is signed by an authority')
  return issuer
}

function read(bytes: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(bytes)
  } catch {
    throw new AttestationRefused('a certificate of it cannot be read')
  }
}

function requireValid({ validFrom, validTo }: X509Certificate, now: Date): void {
  // Not the other way round: a date that cannot be read compares false with everything.
  if (!(now >= new Date(validFrom))) throw new AttestationRefused('a certificate of it is not valid yet')
  if (!(now <= new Date(validTo))) throw new AttestationRefused('a certificate of it has expired')
}
