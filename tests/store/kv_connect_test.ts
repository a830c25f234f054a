/** What every store keeps to, over KV Connect. */
import { openStore } from "../../store/deno_kv.ts";
import { connectTwice, testStore } from "../contracts/store_contract.ts";
import { KvConnectService } from "../fakes/kv_connect.ts";

Deno.env.set("DENO_KV_ACCESS_TOKEN", KvConnectService.TOKEN);

testStore({
  name: "Deno KV over KV Connect",
  open() {
    const service = new KvConnectService();
    return connectTwice(
      () => openStore(service.url),
      () => service[Symbol.asyncDispose](),
    );
  },
});
