/** What every store keeps to, over KV Connect. */
import { openStore } from "../../store/deno_kv.ts";
import { testStore } from "../contracts/store_contract.ts";
import { KvConnectService } from "../fakes/kv_connect.ts";

Deno.env.set("DENO_KV_ACCESS_TOKEN", KvConnectService.TOKEN);

testStore({
  name: "Deno KV over KV Connect",
  async open() {
    const service = new KvConnectService();
    const store = await openStore(service.url);
    const other = await openStore(service.url);
    return {
      store,
      other,
      async [Symbol.asyncDispose]() {
        await store.close();
        await other.close();
        await service[Symbol.asyncDispose]();
      },
    };
  },
  pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
});
