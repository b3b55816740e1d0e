// Makes aws4.jsonl, signatures of an implementation that is not ours (npm aws4, by M. Hart), for test_objects_sign.py:
//
//     npm install --prefix build/aws4 aws4@1.13.2
//     NODE_PATH=build/aws4/node_modules node tests/vectors/aws4.js > tests/vectors/aws4.jsonl
const aws4 = require('aws4'), crypto = require('crypto')

let state = 20260131
const random = (n) => (state = (Math.imul(state, 1103515245) + 12345) >>> 0, (state >>> 8) % n)
const pick = (list) => list[random(list.length)]
const pieces = ['a', 'Z', '0', '-', '.', '_', '~', ' ', '+', '=', '&', '?', '#', '%', '%2F', '中文', 'é', '😀', "'", '(', ')', '*',
  '!', '@', ':', ',', ';', '$', '"', '<', '|', '\\', '^', '`', '{']
const text = (n) => Array.from({ length: random(n) + 1 }, () => pick(pieces)).join('')
const encode = (s) => encodeURIComponent(s).replace(/[!'()*]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase())

for (let i = 0; i < 150; i++) {
  const path = '/' + Array.from({ length: random(4) + 1 }, () => text(6)).join('/')
  const query = {}
  for (let n = random(5); n > 0; n--) query[text(3)] = random(4) ? text(5) : ''
  const payload = crypto.createHash('sha256').update(text(20)).digest('hex')
  const date = `20${10 + random(80)}0${1 + random(9)}1${random(10)}T0${random(10)}5${random(10)}0${random(10)}Z`
  const keys = { accessKeyId: pick(['AKIDEXAMPLE', 'test:tester', 'minio-admin']), secretAccessKey: pick(['testing', 'wJalrXUtnFEMI/K7MDENG+bPx']) }
  const region = pick(['us-east-1', 'cn-north-1', 'default'])
  const headers = { host: pick(['127.0.0.1:9000', 's3.example.com']), 'x-amz-content-sha256': payload, 'x-amz-date': date }
  if (random(2)) headers['content-type'] = pick(['text/plain', ' text/html;   charset=utf-8 '])
  if (random(2)) headers['x-amz-meta-note'] = pick(['a', 'a  b   c', '  x '])
  if (random(3) === 0) headers['content-md5'] = 'XrY7u+Ae7tCTyyK7j1rNww=='
  const given = Object.entries(query).map(([k, v]) => `${encode(k)}=${encode(v)}`).join('&')
  const signed = aws4.sign({ service: 's3', region, method: pick(['GET', 'PUT', 'POST', 'HEAD', 'DELETE']), headers: { ...headers },
    path: path.split('/').map(encode).join('/') + (given ? '?' + given : '') }, keys)
  console.log(JSON.stringify({ method: signed.method, path, query: Object.entries(query), headers: Object.entries(headers), payload, date,
    access: keys.accessKeyId, secret: keys.secretAccessKey, region, authorization: signed.headers.Authorization }))
}
