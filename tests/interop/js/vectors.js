// Every vector file of protocols/, read with this folder's own code. One JSON line for each file:
// {file, cases, failures: [text]}. Run: node vectors.js PROTOCOLS_FOLDER
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { READERS } from './lib/vectorreaders.js'

const folder = process.argv[2]
const load = (path) => JSON.parse(readFileSync(join(folder, path), 'utf8'))

for (const protocol of readdirSync(folder).sort()) {
  let files = []
  try {
    files = readdirSync(join(folder, protocol, 'vectors')).sort()
  } catch { /* a page without vectors, or no folder */ }
  for (const name of files) {
    const path = join(protocol, 'vectors', name)
    const content = load(path)
    const read = READERS[content.format]
    const result = { file: path, cases: 0, failures: [] }
    if (read === undefined) {
      result.failures.push(`no reader for ${content.format}`)
    } else {
      for (const [label, check] of read(content, load)) {
        result.cases++
        try {
          check()
        } catch (error) {
          result.failures.push(`${label}: ${error.message.slice(0, 300)}`)
        }
      }
    }
    console.log(JSON.stringify(result))
  }
}
