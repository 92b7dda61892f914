declare module 'undici/lib/dispatcher/agent.js' {
  import type { Agent } from 'undici';

  const agent: typeof Agent;
  // biome-ignore lint/style/noDefaultExport: the shape of a CommonJS file
  export default agent;
}

declare module 'undici/lib/dispatcher/proxy-agent.js' {
  import type { ProxyAgent } from 'undici';

  const proxyAgent: typeof ProxyAgent;
  // biome-ignore lint/style/noDefaultExport: the shape of a CommonJS file
  export default proxyAgent;
}

declare module 'undici/lib/api/api-request.js' {
  import type { Dispatcher } from 'undici';

  function request(this: Dispatcher, options: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData>;
  // biome-ignore lint/style/noDefaultExport: the shape of a CommonJS file
  export default request;
}

declare module 'undici/lib/dispatcher/dispatcher.js' {
  import type { Dispatcher } from 'undici';

  const dispatcher: { prototype: { connect: Dispatcher['connect'] } };
  // biome-ignore lint/style/noDefaultExport: the shape of a CommonJS file
  export default dispatcher;
}

declare module 'undici/lib/api/api-connect.js' {
  import type { Dispatcher } from 'undici';

  const connect: Dispatcher['connect'];
  // biome-ignore lint/style/noDefaultExport: the shape of a CommonJS file
  export default connect;
}
