// What may be in the way where nobody answers: wrangler goes by HTTPS_PROXY, and Node's own fetch only where it can and is told to.

const [major, minor] = process.versions.node.split(".").map(Number);
const CAN = major > 24 || (major === 24 && minor >= 5) || (major === 22 && minor >= 21);

/** What is to be done about the proxy, where the environment has one for this address; else nothing. */
export function proxyHint(url) {
  const name = ["HTTPS_PROXY", "https_proxy"].find((each) => process.env[each]);
  if (name === undefined || !url.startsWith("https:")) return undefined;
  if (!CAN) return `${name} is set, and Node ${process.versions.node} cannot go by it: use Node 22.21, 24.5 or later`;
  if (process.env.NODE_USE_ENV_PROXY !== "1") return `${name} is set, and Node goes by it only with NODE_USE_ENV_PROXY=1 in the environment`;
  return `is ${name} right, and does that proxy let this through?`;
}
